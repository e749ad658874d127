import { createHash, randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import {
  buildCertificate,
  describeName,
  encodeName,
  encodePem,
  randomSerial,
  serialToHex,
} from "@claviger/x509";
import type { Authority } from "./authorities.ts";
import type { CertifiedNames, Profile } from "./profiles.ts";
import { publish, type Registry } from "./registry.ts";
import {
  type CertificateRow,
  countLiveCertificates,
  holdersOfKey,
  insertCertificate,
} from "./store/certificates.ts";
import { findRevokedKey } from "./store/revoked-keys.ts";

export interface IssuanceRequest extends CertifiedNames {
  profile: string;
  form: Profile;
  subjectPublicKeyInfo: Uint8Array;
  lifetimeSeconds: number;
  requestedBy: string;
  /** Whether the key must be one that no certificate has had. */
  freshKey: boolean;
}

const backdateMilliseconds = 60_000;
const liveCertificatesMax = 500;

/** Signs a certificate in the HSM and registers it in the same transaction. */
export async function issueCertificate(
  registry: Registry,
  issuer: Authority,
  publicHttpAddress: string,
  request: IssuanceRequest,
): Promise<{ row: CertificateRow; chain: string }> {
  const publicKeySha256 = createHash("sha256").update(request.subjectPublicKeyInfo).digest();
  await requireOwnKey(registry, publicKeySha256, request);
  if (request.identity !== undefined) await requireRoom(registry, request.identity.uri);
  const serial = randomSerial(randomBytes);
  const notBefore = new Date(registry.now.getTime() - backdateMilliseconds);
  const wanted = Math.floor(registry.now.getTime() / 1000 + request.lifetimeSeconds) * 1000;
  // Nothing outlives the CA that signed it: clients would refuse the rest of its life.
  const notAfter = new Date(Math.min(wanted, issuer.notAfter.getTime()));
  const profile = request.form;
  const rsa = isRsa(request.subjectPublicKeyInfo);
  const certificate = await buildCertificate({
    serial,
    issuer: issuer.subject,
    subject: request.subject,
    notBefore,
    notAfter,
    subjectPublicKeyInfo: request.subjectPublicKeyInfo,
    authorityKeyId: issuer.keyId,
    keyUsage: rsa ? ["digitalSignature", "keyEncipherment"] : ["digitalSignature"],
    extendedKeyUsage: orNothing(profile.extendedKeyUsage),
    subjectAltNames: orNothing(request.subjectAltNames),
    ...(profile.ocspNoCheck === true
      ? { ocspNoCheck: true }
      : statusAddresses(publicHttpAddress, issuer.slug)),
    signer: issuer.signer,
  });
  const row: CertificateRow = {
    serial: serialToHex(serial),
    authority: issuer.row.name,
    authorityGeneration: issuer.row.generation,
    subject: describeName(encodeName(request.subject)),
    names: request.subjectAltNames.map(
      (name) => Object.entries(name).map(([kind, value]) => `${kind}:${value}`)[0]!,
    ),
    profile: request.profile,
    identity: request.identity?.uri ?? null,
    requestedBy: request.requestedBy,
    publicKeySha256,
    certificate: Buffer.from(certificate),
    notBefore,
    notAfter,
    revokedAt: null,
    revocationReason: null,
  };
  await insertCertificate(registry.tx, registry.sealer, row);
  await publish(registry, "certificate.issued", row.serial, { profile: row.profile });
  return { row, chain: `${encodePem("CERTIFICATE", certificate)}${issuer.chain}` };
}

/** Where a certificate of this CA tells clients to look. */
export function statusAddresses(publicHttpAddress: string, issuerSlug: string) {
  const base = `http://${publicHttpAddress}/v1`;
  return {
    crlDistributionPoints: [`${base}/crl/${issuerSlug}.crl`],
    caIssuers: [`${base}/ca/${issuerSlug}.cer`],
    ocsp: [`${base}/ocsp`],
  };
}

/** @throws DomainError where the key was revoked, is somebody else's, or had its turn */
async function requireOwnKey(
  { sealer, tx }: Registry,
  publicKeySha256: Buffer,
  { form, freshKey, identity, requestedBy }: IssuanceRequest,
): Promise<void> {
  const revoked = await findRevokedKey(tx, sealer, publicKeySha256);
  if (revoked !== undefined) {
    throw new DomainError("failed-precondition", `this key was revoked (${revoked.reason})`, {
      hint: "make a new key: this one gets no certificate any more",
    });
  }
  if (form.own === true) return;
  const holders = await holdersOfKey(tx, publicKeySha256);
  // Whoever has a key can be whoever it is certified for: one key, one holder.
  const holder = identity?.uri ?? requestedBy;
  if (holders.some((other) => (other.identity ?? other.requestedBy) !== holder)) {
    throw new DomainError("denied", "this key has a certificate of another identity", {
      hint: "make a key of your own",
    });
  }
  if (!freshKey || holders.length === 0) return;
  throw new DomainError("invalid-argument", "this key had a certificate before", {
    hint: "make a new key for each renewal",
  });
}

/** An extension without content is left out (RFC 5280 section 4.2). */
function orNothing<T>(items: readonly T[]): readonly T[] | undefined {
  return items.length === 0 ? undefined : items;
}

/** So that an identity can always be revoked with all its certificates in one go. */
async function requireRoom(registry: Registry, identity: string): Promise<void> {
  const live = await countLiveCertificates(registry.tx, identity, registry.now);
  if (live < liveCertificatesMax) return;
  throw new DomainError("exhausted", `${identity} has ${live} certificates that are still valid`, {
    hint: "use those, wait until some expire, or have some revoked: claviger certs revoke SERIAL",
  });
}

/** Key encipherment is for RSA key transport alone (RFC 5280 section 4.2.1.3). */
function isRsa(subjectPublicKeyInfo: Uint8Array): boolean {
  const rsaEncryption = Buffer.from("06092a864886f70d010101", "hex");
  return Buffer.from(subjectPublicKeyInfo).subarray(0, 32).includes(rsaEncryption);
}
