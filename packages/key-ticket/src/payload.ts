import { SecretBytes } from "@claviger/secret-bytes";
import { damaged } from "./statement.ts";

const lengthBytes = 4;
const payloadBytesMax = 256 * 1024;

/** What is sealed: the length of the statement, the statement as a compact JWS, and the key. */
export function joinPayload(jws: string, key: SecretBytes): SecretBytes {
  const text = Buffer.from(jws, "ascii");
  const payload = SecretBytes.allocate(lengthBytes + text.length + key.length);
  const bytes = payload.expose();
  new DataView(bytes.buffer).setUint32(0, text.length);
  bytes.set(text, lengthBytes);
  bytes.set(key.expose(), lengthBytes + text.length);
  return payload;
}

/** Takes the payload over: it is cleared. @throws DomainError `integrity` */
export function splitPayload(payload: SecretBytes): { jws: string; key: SecretBytes } {
  using whole = payload;
  const bytes = whole.expose();
  if (bytes.length <= lengthBytes || bytes.length > payloadBytesMax) throw damaged("it holds no key");
  const end = lengthBytes + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (end >= bytes.length) throw damaged("it holds no key");
  const jws = Buffer.from(bytes.subarray(lengthBytes, end)).toString("latin1");
  const key = SecretBytes.allocate(bytes.length - end);
  key.expose().set(bytes.subarray(end));
  return { jws, key };
}
