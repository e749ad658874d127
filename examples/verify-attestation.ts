/**
 * Verifies what `claviger keys attest` wrote, offline and without any code of Claviger's:
 *
 *   npx claviger keys attest payments/card-data@1 --out a.json
 *   npx claviger certs bundle > bundle.pem
 *   bin/node examples/verify-attestation.ts a.json bundle.pem
 */
import { verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const [attestationFile = "", bundleFile = ""] = process.argv.slice(2);
const { certificateChain, record, signature } = JSON.parse(readFileSync(attestationFile, "utf8"));

function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function requireThat(holds: boolean, what: string): void {
  if (holds) return;
  console.error(`refused: ${what}`);
  process.exit(5);
}

const roots = certificatesOf(readFileSync(bundleFile, "utf8"));
const [signer, ...authorities] = certificatesOf(certificateChain);
requireThat(signer?.subjectAltName === "URI:urn:claviger:attestation", "another signer");
let child = signer!;
for (const authority of [
  ...authorities,
  ...roots.filter((root) => root.subject === authorities.at(-1)?.issuer),
]) {
  const issued = authority.ca && child.checkIssued(authority) && child.verify(authority.publicKey);
  requireThat(issued && Date.parse(child.validTo) > Date.now(), `the chain breaks at ${child.subject}`);
  child = authority;
}
requireThat(
  roots.some((root) => root.fingerprint256 === child.fingerprint256),
  "the chain ends at no trusted root",
);
const signed = verify("sha256", Buffer.from(record), signer!.publicKey, Buffer.from(signature, "base64"));
requireThat(signed, "the record was changed, or somebody else signed it");
console.log("verified:", JSON.parse(record));
