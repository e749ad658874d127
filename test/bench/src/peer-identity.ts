import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildCertificate, type CertificateSigner, encodePem, randomSerial } from "@claviger/x509";

const hour = 60 * 60 * 1000;

/**
 * Two identities below one root of their own, in the three files that TlsIdentity reads: the bare
 * server's and its client's.
 */
export async function makePeerIdentities(options: {
  directory: string;
  serverUri: string;
  clientUri: string;
}): Promise<{ server: string; client: string }> {
  const authority = newKeyPair();
  const signer: CertificateSigner = {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo: spkiOf(authority.publicKey),
    sign: async (tbs) => sign("sha256", tbs, authority.privateKey),
  };
  const issuer = { commonName: "benchmark" };
  const dated = {
    notBefore: new Date(Date.now() - hour),
    notAfter: new Date(Date.now() + 24 * hour),
    issuer,
    signer,
  };
  const root = await buildCertificate({
    ...dated,
    serial: randomSerial(randomBytes),
    subject: issuer,
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true },
    keyUsage: ["keyCertSign"],
  });
  const issue = async (name: string, uri: string): Promise<string> => {
    const pair = newKeyPair();
    const certificate = await buildCertificate({
      ...dated,
      serial: randomSerial(randomBytes),
      subject: {},
      subjectPublicKeyInfo: spkiOf(pair.publicKey),
      keyUsage: ["digitalSignature"],
      extendedKeyUsage: ["serverAuth", "clientAuth"],
      subjectAltNames: [{ uri }],
    });
    const directory = join(options.directory, name);
    await mkdir(directory, { mode: 0o700 });
    const key = pair.privateKey.export({ format: "pem", type: "pkcs8" });
    await writeFile(join(directory, "key.pem"), key, { mode: 0o600 });
    await writeFile(join(directory, "cert.pem"), encodePem("CERTIFICATE", certificate));
    await writeFile(join(directory, "bundle.pem"), encodePem("CERTIFICATE", root));
    return directory;
  };
  return {
    server: await issue("server", options.serverUri),
    client: await issue("client", options.clientUri),
  };
}

function newKeyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function spkiOf(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
}
