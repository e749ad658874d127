import { timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { uuidBytes } from "./ciphertext.ts";
import { type BindingMac, longPrefixed } from "./material-envelope.ts";

/** What the wrapping key of an import is bound to. */
export interface ImportKeyBinding {
  /** UUID. */
  id: string;
  /** SPIFFE URI. */
  caller: string;
  /** `keyring/key` */
  name: string;
}

export interface ImportKey {
  keyringGeneration: number;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  /** The X25519 private key, wrapped with the keyring's key. */
  wrapped: Buffer;
}

const formatVersion = 1;
const headBytes = 1 + 4 + 8;
const macBytes = 32;
const domain = "claviger/import-key/v1";

/** Version 1 of the import key (docs/formats.md). */
export async function sealImportKey(
  { expiresAt, keyringGeneration, wrapped }: ImportKey,
  binding: ImportKeyBinding,
  mac: BindingMac,
): Promise<Buffer> {
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(formatVersion, 0);
  head.writeUInt32BE(keyringGeneration, 1);
  head.writeBigUInt64BE(BigInt(expiresAt), 5);
  const body = Buffer.concat([head, wrapped]);
  return Buffer.concat([body, await mac(boundBytes(binding, body))]);
}

/** @throws DomainError `integrity` where it is another import's, or was changed */
export async function openImportKey(
  bytes: Uint8Array,
  binding: ImportKeyBinding,
  mac: BindingMac,
): Promise<ImportKey> {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = whole.subarray(0, Math.max(0, whole.length - macBytes));
  const authentic =
    body.length > headBytes &&
    body[0] === formatVersion &&
    timingSafeEqual(await mac(boundBytes(binding, body)), whole.subarray(body.length));
  if (!authentic) {
    throw new DomainError("integrity", "the wrapping key of this import is not what the HSM bound to it", {
      hint: "the database was changed outside Claviger: begin the import again",
    });
  }
  return {
    keyringGeneration: body.readUInt32BE(1),
    expiresAt: Number(body.readBigUInt64BE(5)),
    wrapped: body.subarray(headBytes),
  };
}

function boundBytes({ caller, id, name }: ImportKeyBinding, body: Uint8Array): Buffer {
  return Buffer.concat([...[domain, caller, name].map(longPrefixed), uuidBytes(id), body]);
}
