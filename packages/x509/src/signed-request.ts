import { contextConstructed, integerFromNumber, sequence } from "./der.ts";
import { encodeName } from "./name-encoding.ts";
import type { Name } from "./names.ts";
import { assembleSigned, type CertificateSigner } from "./signer.ts";

/** A PKCS #10 request (RFC 2986), DER, for a key that is elsewhere: in the HSM. */
export function buildSignedRequest({
  signer,
  subject,
}: {
  signer: CertificateSigner;
  subject: Name;
}): Promise<Uint8Array> {
  const requestInfo = sequence([
    integerFromNumber(0),
    encodeName(subject),
    signer.subjectPublicKeyInfo,
    contextConstructed(0, []),
  ]);
  return assembleSigned(requestInfo, signer);
}
