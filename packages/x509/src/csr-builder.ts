import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { bitString, contextConstructed, integerFromNumber, oid, sequence } from "./der.ts";
import { encodeName } from "./name-encoding.ts";
import type { Name } from "./names.ts";

const ecdsaWithSha256 = "1.2.840.10045.4.3.2";

/**
 * A PKCS #10 request (RFC 2986), DER, for a P-256 key: the proof that its holder asks. It asks for
 * no names by default, since whoever issues decides them.
 */
export function buildCertificateSigningRequest(options: {
  privateKey: KeyObject;
  subject?: Name;
}): Uint8Array {
  const { privateKey } = options;
  if (privateKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new DomainError("invalid-argument", "a certificate signing request is built for P-256 keys");
  }
  const subjectPublicKeyInfo = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const requestInfo = sequence([
    integerFromNumber(0),
    encodeName(options.subject ?? {}),
    subjectPublicKeyInfo,
    contextConstructed(0, []),
  ]);
  const signature = sign("sha256", requestInfo, privateKey);
  return sequence([requestInfo, sequence([oid(ecdsaWithSha256)]), bitString(signature)]);
}
