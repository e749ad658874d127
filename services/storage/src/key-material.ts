import { DomainError } from "@claviger/domain-error";

const materialBytesMax = 64 * 1024;
/** The head of the material envelope (docs/formats.md). */
const materialBytesMin = 7;

/** Storage cannot read material; its size must be possible. @throws DomainError `invalid-argument` */
export function checkMaterial(material: Uint8Array): Buffer {
  if (material.length < materialBytesMin || material.length > materialBytesMax) {
    throw new DomainError("invalid-argument", "the material envelope has an impossible size");
  }
  return Buffer.from(material);
}
