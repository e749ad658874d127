import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { serviceIdentity } from "@claviger/identity";
import { buildCertificate, type CertificateSigner, encodePem, randomSerial } from "@claviger/x509";

export interface IssuedMaterial {
  key: string;
  certificate: string;
}

export interface BootstrapCa {
  /** PEM. */
  certificate: string;
  /** A key and a certificate for one of Claviger's own services, and for nobody else. */
  issue(service: string): Promise<IssuedMaterial>;
}

const lifetimeMilliseconds = 24 * 3600_000;
/** Clocks of one host do not differ, but a certificate made this second is refused by a strict comparison. */
const backdateMilliseconds = 60_000;

/**
 * A CA that signs services' first certificates and nothing else. Its key exists in this process's
 * memory alone and is gone when bootstrap ends; services stop trusting it when all have renewed.
 */
export async function createBootstrapCa(trustDomain: string): Promise<BootstrapCa> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = signerOf(privateKey, publicKey);
  const notBefore = new Date(Date.now() - backdateMilliseconds);
  const notAfter = new Date(Date.now() + lifetimeMilliseconds);
  const name = { commonName: "Claviger bootstrap CA", organization: trustDomain };
  const root = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: name,
    subject: name,
    notBefore,
    notAfter,
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true, pathLength: 0 },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer,
  });
  return {
    certificate: encodePem("CERTIFICATE", root),
    async issue(service) {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const certificate = await buildCertificate({
        serial: randomSerial(randomBytes),
        issuer: name,
        subject: { commonName: `claviger ${service}` },
        notBefore,
        notAfter,
        subjectPublicKeyInfo: pair.publicKey.export({ type: "spki", format: "der" }),
        keyUsage: ["digitalSignature"],
        extendedKeyUsage: ["serverAuth", "clientAuth"],
        subjectAltNames: [
          { uri: serviceIdentity(trustDomain, service).uri },
          { dns: "localhost" },
          { ip: "127.0.0.1" },
        ],
        signer,
      });
      return {
        key: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        certificate: encodePem("CERTIFICATE", certificate),
      };
    },
  };
}

function signerOf(privateKey: KeyObject, publicKey: KeyObject): CertificateSigner {
  return {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo: publicKey.export({ type: "spki", format: "der" }),
    sign: async (tbs) => sign("sha256", tbs, privateKey),
  };
}
