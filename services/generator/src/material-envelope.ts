import { timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { Algorithm, Protection, Purpose } from "./algorithms.ts";

/** What material is bound to: a row that says anything else does not open. */
export interface MaterialBinding {
  /** `keyring/key` */
  name: string;
  /** UUID. */
  keyId: string;
  version: number;
  algorithm: Algorithm;
  purpose: Purpose;
  protection: Protection;
  exportable: boolean;
}

export interface MaterialEnvelope {
  keyringGeneration: number;
  /** Empty where the public half is all that there is. */
  wrapped: Buffer;
  /** SubjectPublicKeyInfo, DER; empty for symmetric keys. */
  publicKey: Buffer;
}

/** HMAC-SHA-256 with the HSM's binding key. */
export type BindingMac = (data: Uint8Array) => Promise<Buffer>;

const envelopeVersion = 1;
const wrappingNone = 0;
const wrappingAesKwp = 1;
const protectionCodes: Record<Protection, number> = { software: 1, hsm: 2 };
const macBytes = 32;
const fixedBytes = 1 + 1 + 1 + 4 + 2 + 2 + macBytes;
const domain = "claviger/material/v1";

/** Version 1 of the material envelope (docs/formats.md). */
export async function sealEnvelope(
  envelope: MaterialEnvelope,
  binding: MaterialBinding,
  mac: BindingMac,
): Promise<Buffer> {
  const head = Buffer.alloc(7);
  head.writeUInt8(envelopeVersion, 0);
  head.writeUInt8(protectionCodes[binding.protection], 1);
  head.writeUInt8(wrappingOf(envelope.wrapped.length), 2);
  head.writeUInt32BE(envelope.keyringGeneration, 3);
  const body = Buffer.concat([head, shortPrefixed(envelope.wrapped), shortPrefixed(envelope.publicKey)]);
  return Buffer.concat([body, await mac(boundBytes(binding, body))]);
}

/** @throws DomainError `integrity` where the envelope is not this key's, this version's, or was changed. */
export async function openEnvelope(
  bytes: Uint8Array,
  binding: MaterialBinding,
  mac: BindingMac,
): Promise<MaterialEnvelope> {
  const envelope = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (envelope.length < fixedBytes || envelope[0] !== envelopeVersion) throw changed(binding);
  const body = envelope.subarray(0, envelope.length - macBytes);
  const expected = await mac(boundBytes(binding, body));
  if (!timingSafeEqual(expected, envelope.subarray(body.length))) throw changed(binding);
  const wrappedEnd = 9 + body.readUInt16BE(7);
  if (wrappedEnd + 2 > body.length) throw changed(binding);
  const publicEnd = wrappedEnd + 2 + body.readUInt16BE(wrappedEnd);
  const known = body[1] === protectionCodes[binding.protection] && body[2] === wrappingOf(wrappedEnd - 9);
  if (!known || publicEnd !== body.length) throw changed(binding);
  return {
    keyringGeneration: body.readUInt32BE(3),
    wrapped: body.subarray(9, wrappedEnd),
    publicKey: body.subarray(wrappedEnd + 2, publicEnd),
  };
}

function wrappingOf(wrappedBytes: number): number {
  return wrappedBytes === 0 ? wrappingNone : wrappingAesKwp;
}

function changed(binding: MaterialBinding): DomainError {
  return new DomainError(
    "integrity",
    `the material of ${binding.name}@${binding.version} is not what the HSM bound to it`,
    { hint: "the database was changed outside Claviger: restore the key from a backup" },
  );
}

/** Exported for docs/formats.md's vectors. */
export function boundBytes(binding: MaterialBinding, body: Uint8Array): Buffer {
  const version = Buffer.alloc(4);
  version.writeUInt32BE(binding.version);
  return Buffer.concat([
    longPrefixed(domain),
    longPrefixed(binding.name),
    Buffer.from(binding.keyId.replaceAll("-", ""), "hex"),
    version,
    longPrefixed(binding.algorithm),
    longPrefixed(binding.purpose),
    longPrefixed(binding.protection),
    Buffer.of(binding.exportable ? 1 : 0),
    body,
  ]);
}

/** Text with its length before it, in four bytes. */
export function longPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function shortPrefixed(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
