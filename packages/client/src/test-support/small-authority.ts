import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import {
  buildCertificate,
  type CertificateSigner,
  encodePem,
  parseCertificateSigningRequest,
  randomSerial,
} from "@claviger/x509";

export interface SmallAuthority {
  /** PEM. */
  root: string;
  /** Of the root's DER, hexadecimal. */
  rootSha256: string;
  /** A key and certificate for this SPIFFE URI, PEM. */
  issue(uri: string): Promise<{ key: string; certificateChain: string }>;
  /** A certificate for the key of a PKCS #10 request, PEM. */
  sign(certificateSigningRequest: Uint8Array, uri: string): Promise<string>;
}

const hour = 3600_000;

export async function createSmallAuthority(): Promise<SmallAuthority> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer: CertificateSigner = {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo: publicKey.export({ type: "spki", format: "der" }),
    sign: async (tbs) => sign("sha256", tbs, privateKey),
  };
  const issuer = { commonName: "test root" };
  const validity = () => ({ notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + hour) });
  const root = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer,
    subject: issuer,
    ...validity(),
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer,
  });
  const certify = async (subjectPublicKeyInfo: Uint8Array, uri: string): Promise<string> => {
    const certificate = await buildCertificate({
      serial: randomSerial(randomBytes),
      issuer,
      subject: {},
      ...validity(),
      subjectPublicKeyInfo,
      keyUsage: ["digitalSignature"],
      extendedKeyUsage: ["serverAuth", "clientAuth"],
      subjectAltNames: [{ uri }],
      signer,
    });
    return encodePem("CERTIFICATE", certificate);
  };
  return {
    root: encodePem("CERTIFICATE", root),
    rootSha256: createHash("sha256").update(root).digest("hex"),
    async issue(uri) {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const key = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      return {
        key,
        certificateChain: await certify(pair.publicKey.export({ type: "spki", format: "der" }), uri),
      };
    },
    sign: async (request, uri) => certify(parseCertificateSigningRequest(request).subjectPublicKeyInfo, uri),
  };
}
