import { DomainError } from "@claviger/domain-error";
import { derTags, integer, sequence } from "./der.ts";
import { createDerReader, derToUnsigned, readDer } from "./der-reader.ts";

/** P-521 has the longest component: 66 octets. */
const componentBytesMax = 66;
const what = "the ECDSA signature";

/** r‖s, as PKCS#11 and WebCrypto give it, into Ecdsa-Sig-Value (RFC 3279 section 2.2.3). */
export function ecdsaRawToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2;
  if (!Number.isInteger(half) || half === 0 || half > componentBytesMax) {
    throw new DomainError("invalid-argument", `${what} must be two halves of equal length`);
  }
  const r = raw.subarray(0, half);
  const s = raw.subarray(half);
  if (isZero(r) || isZero(s)) throw zeroComponent();
  return sequence([integer(r), integer(s)]);
}

/** Ecdsa-Sig-Value into r‖s; only DER, positive, non-zero numbers of at most `componentBytes` pass. */
export function ecdsaDerToRaw(der: Uint8Array, componentBytes = 32): Uint8Array {
  const body = createDerReader(readDer(der, what, derTags.sequence).content, what);
  const raw = new Uint8Array(2 * componentBytes);
  for (const offset of [0, componentBytes]) {
    const component = derToUnsigned(body.next(derTags.integer, "r or s"), what);
    if (component.length > componentBytes) {
      throw new DomainError("invalid-argument", `${what} is too long for its curve`);
    }
    if (isZero(component)) throw zeroComponent();
    raw.set(component, offset + componentBytes - component.length);
  }
  body.end();
  return raw;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((octet) => octet === 0);
}

function zeroComponent(): DomainError {
  return new DomainError("invalid-argument", `${what} has a component that is zero, which no signer makes`);
}
