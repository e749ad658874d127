import { createHash } from "node:crypto";
import type { Client } from "@claviger/client";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { encodePem } from "@claviger/x509";
import type { Authority } from "./authorities.ts";
import { issueCertificate } from "./issuance.ts";
import { attestationName, profiles } from "./profiles.ts";
import type { Registry } from "./registry.ts";
import { newestOfKey } from "./store/certificates.ts";

/** A key of Claviger's own that signs for others to verify, and how its certificate names it. */
export interface CertifiedSystemKey {
  keyName: string;
  profile: "attestation" | "tickets";
  commonName: string;
  /** A URI that no request gets. */
  name: string;
}

interface ChainOptions {
  keys: Client<typeof KeyGenerationService>;
  issuing: Authority;
  publicHttpAddress: string;
  trustDomain: string;
  requestedBy: string;
}

const attestation: CertifiedSystemKey = {
  keyName: "system/attestation",
  profile: "attestation",
  commonName: "Claviger key attestation",
  name: attestationName,
};
/** A certificate that ends sooner is followed by another. */
const renewBeforeMilliseconds = 365 * 86_400_000;

/**
 * The chain of the key that signs generation records: the certificate that it has, or a new one. That the
 * generator has the private half is known from the generator itself, over mTLS.
 */
export async function attestationChain(
  registry: Registry,
  options: ChainOptions,
  version: number,
): Promise<string> {
  return systemKeyChain(registry, options, attestation, version);
}

/** The same for any of them. */
export async function systemKeyChain(
  registry: Registry,
  options: ChainOptions,
  { commonName, keyName, name, profile }: CertifiedSystemKey,
  version: number,
): Promise<string> {
  const { subjectPublicKeyInfo } = await options.keys.getPublicKey({ name: keyName, version });
  const publicKeySha256 = createHash("sha256").update(subjectPublicKeyInfo).digest();
  const known = await newestOfKey(registry.tx, registry.sealer, publicKeySha256, profile);
  const lasting =
    known !== undefined && known.notAfter.getTime() - registry.now.getTime() > renewBeforeMilliseconds;
  // A new generation of the CAs has its own: the old one's root may have left the bundle.
  const isOfIssuing = known?.authorityGeneration === options.issuing.row.generation;
  if (lasting && isOfIssuing && known.revokedAt === null) {
    return encodePem("CERTIFICATE", known.certificate) + options.issuing.chain;
  }
  const { chain } = await issueCertificate(registry, options.issuing, options.publicHttpAddress, {
    profile,
    form: profiles[profile],
    subject: { commonName, organization: options.trustDomain },
    subjectAltNames: [{ uri: name }],
    identity: undefined,
    subjectPublicKeyInfo,
    lifetimeSeconds: profiles[profile].lifetimeSecondsDefault,
    requestedBy: options.requestedBy,
    freshKey: false,
  });
  return chain;
}
