// The peer: a bare grpc-js server. Mutual TLS 1.3, the same messages, the same cryptography and layout of
// the ciphertext; nobody is authorized and nothing is audited. Run with the directory of its identity;
// it tells its port to whoever forked it.
import { createCipheriv, createSecretKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";

tls.DEFAULT_MIN_VERSION = "TLSv1.3";
const directory = process.argv[2];
if (directory === undefined) throw new Error("usage: peer-server.ts IDENTITY-DIRECTORY");
process.on("disconnect", () => process.exit());
process.on("SIGINT", () => undefined);

const key = createSecretKey(randomBytes(32));
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const keyId = randomBytes(16);
const version = 1;
const [headerBytes, tagBytes] = [37, 16];
const messageBytesMax = 4 * 1024 * 1024;

function encrypt({
  plaintext,
  associatedData,
}: {
  plaintext: Uint8Array;
  associatedData: Uint8Array;
}): Buffer {
  const nonce = randomBytes(12);
  const header = Buffer.allocUnsafe(headerBytes);
  header.write("CLV\x01", 0, "latin1");
  header.set(keyId, 4);
  header.writeUInt32BE(version, 20);
  header.writeUInt8(1, 24);
  header.set(nonce, 25);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(associatedData.length === 0 ? header : Buffer.concat([header, associatedData]));
  const body = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}

const { method } = CryptographyService;
const server = new Server({
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
});
serve(method.encrypt, (request) => ({ ciphertext: encrypt(request), version }));
serve(method.encryptBatch, ({ items }) => ({
  results: items.map((item) => ({ ciphertext: encrypt(item) })),
  version,
}));
serve(method.signBatch, ({ messages }) => ({
  results: messages.map((message) => ({ signature: sign("sha256", message, privateKey) })),
  version,
}));

const read = (name: string): Buffer => readFileSync(join(directory, name));
const credentials = ServerCredentials.createSsl(
  read("bundle.pem"),
  [{ private_key: read("key.pem"), cert_chain: read("cert.pem") }],
  true,
);
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  if (error !== null) throw error;
  process.send?.({ port });
});

function serve<M extends DescMethod>(
  row: M,
  answer: (request: MessageShape<M["input"]>) => MessageInitShape<M["output"]>,
): void {
  const definition = {
    [row.localName]: {
      path: `/${row.parent.typeName}/${row.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: asBuffer,
      requestDeserialize: (bytes: Buffer) => fromBinary(row.input, bytes),
      responseSerialize: (message: MessageInitShape<M["output"]>) =>
        asBuffer(toBinary(row.output, create(row.output, message) as MessageShape<M["output"]>)),
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  };
  server.addService(definition as unknown as ServiceDefinition, {
    [row.localName]: (
      call: { request: MessageShape<M["input"]> },
      callback: (error: null, message: MessageInitShape<M["output"]>) => void,
    ) => callback(null, answer(call.request)),
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
