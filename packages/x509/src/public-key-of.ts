import { DomainError } from "@claviger/domain-error";
import { parseCertificateSigningRequest } from "./csr.ts";
import { decodePemBlocks } from "./pem.ts";
import { loadPublicKey } from "./public-key.ts";
import { readCertificate } from "./read-certificate.ts";

/**
 * The SubjectPublicKeyInfo in what people have at hand: a public key, a certificate or a request, PEM; or the
 * DER of a public key.
 *
 * @throws DomainError `invalid-argument` for anything else, or for a key of a type that is not certified
 */
export function publicKeyOf(bytes: Uint8Array): Uint8Array {
  if (!Buffer.from(bytes).includes("-----BEGIN ")) {
    loadPublicKey(bytes);
    return bytes;
  }
  const [block] = decodePemBlocks(bytes);
  if (block?.label === "CERTIFICATE") return readCertificate(block.der).subjectPublicKeyInfo;
  if (block?.label === "CERTIFICATE REQUEST") {
    return parseCertificateSigningRequest(block.der).subjectPublicKeyInfo;
  }
  if (block?.label === "PUBLIC KEY") {
    loadPublicKey(block.der);
    return block.der;
  }
  throw new DomainError("invalid-argument", `a ${block?.label ?? "text"} is not a public key`, {
    hint: "send the public key, a certificate of it or a request, and never the private key",
  });
}
