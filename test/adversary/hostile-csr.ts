import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { der, encodeName, encodeSubjectAltNames, type SubjectAltName } from "@claviger/x509";

const extensionRequest = "1.2.840.113549.1.9.14";
const subjectAltName = "2.5.29.17";
const ecdsaWithSha256 = "1.2.840.10045.4.3.2";

/** A key with a request (RFC 2986), DER, that asks for names, which Claviger's own builder cannot. */
export function requestFor(
  names: readonly SubjectAltName[],
  commonName?: string,
): { csr: Uint8Array; key: KeyObject } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const info = der.sequence([
    der.integerFromNumber(0),
    encodeName(commonName === undefined ? {} : { commonName }),
    createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    der.contextConstructed(0, names.length === 0 ? [] : [attributeFor(names)]),
  ]);
  const signature = sign("sha256", info, privateKey);
  return {
    csr: der.sequence([info, der.sequence([der.oid(ecdsaWithSha256)]), der.bitString(signature)]),
    key: privateKey,
  };
}

function attributeFor(names: readonly SubjectAltName[]): Uint8Array {
  const wanted = der.sequence([der.oid(subjectAltName), der.octetString(encodeSubjectAltNames(names))]);
  return der.sequence([der.oid(extensionRequest), der.set([der.sequence([wanted])])]);
}

export function pemOf(csr: Uint8Array): string {
  const base64 = Buffer.from(csr).toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`;
}
