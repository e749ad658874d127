import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { buildCertificate, type CertificateOptions } from "../certificate.ts";
import type { Name } from "../names.ts";
import { type Certificate, readCertificate } from "../read-certificate.ts";
import { randomSerial } from "../serial.ts";
import type { CertificateSigner } from "../signer.ts";

export const day = 24 * 60 * 60 * 1000;

export interface Authority {
  name: Name;
  signer: CertificateSigner;
  certificate: Certificate;
}

export function createSigner(): CertificateSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo: spkiOf(publicKey),
    sign: async (tbs) => sign("sha256", tbs, privateKey),
  };
}

export function spkiOf(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
}

export function newSpki(): Uint8Array {
  return spkiOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
}

/** A CA: its own root, or signed by `parent`. */
export async function createAuthority(
  commonName: string,
  parent?: Authority,
  options: Partial<CertificateOptions> = {},
): Promise<Authority> {
  const signer = createSigner();
  const name = { commonName, organization: "Claviger" };
  const der = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: parent?.name ?? name,
    subject: name,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 30 * day),
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer: parent?.signer ?? signer,
    ...options,
  });
  return { name, signer, certificate: readCertificate(der) };
}

/** A leaf for a workload, with an empty subject and its identity as URI. */
export async function issueLeaf(
  authority: Authority,
  options: Partial<CertificateOptions> = {},
): Promise<Certificate> {
  const der = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: authority.certificate.subject,
    subject: {},
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    subjectPublicKeyInfo: newSpki(),
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["serverAuth", "clientAuth"],
    subjectAltNames: [{ uri: "spiffe://example.test/workload/payments" }, { dns: "payments.example.test" }],
    signer: authority.signer,
    ...options,
  });
  return readCertificate(der);
}
