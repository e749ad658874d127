import { DomainError } from "@claviger/domain-error";

export const plaintextBytesMax = 1024 * 1024;
export const ciphertextBytesMax = plaintextBytesMax + 1024;
export const associatedDataBytesMax = 64 * 1024;
export const publicKeyBytesMax = 16 * 1024;
export const wrappedKeyBytesMax = 64 * 1024;

/** @throws DomainError `invalid-argument` */
export function checkSize(bytes: Uint8Array, max: number, what: string): void {
  if (bytes.length <= max) return;
  throw new DomainError(
    "invalid-argument",
    `the ${what} has ${bytes.length} bytes, and at most ${max} are taken`,
    {
      hint: "encrypt large data with a data key of your own and that key with Claviger",
    },
  );
}
