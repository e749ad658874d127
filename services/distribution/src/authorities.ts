import { randomBytes } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { ensureHeldKey } from "@claviger/service";
import {
  buildCertificate,
  type CertificateSigner,
  encodePem,
  keyIdentifier,
  type Name,
  randomSerial,
  readCertificate,
} from "@claviger/x509";
import type { Registry } from "./registry.ts";
import {
  type AuthorityName,
  type AuthorityRow,
  findAuthority,
  insertAuthority,
} from "./store/authorities.ts";

export interface GeneratorClients {
  keys: Client<typeof KeyGenerationService>;
  cryptography: Client<typeof CryptographyService>;
  /** Storage's, where a CA's key is held against destruction before anything depends on it. */
  registry: Client<typeof KeyService>;
}

/** A certification authority, ready to sign: its key is in the HSM, its signatures come from the generator. */
export interface Authority {
  row: AuthorityRow;
  pem: string;
  /** The subject's DER, which children carry as their issuer byte for byte. */
  subject: Uint8Array;
  keyId: Uint8Array;
  signer: CertificateSigner;
}

export interface Authorities {
  root: Authority;
  issuing: Authority;
  /** PEM: every root that is trusted now. */
  trustBundle: string;
}

const yearMilliseconds = 365 * 86_400_000;
const lifetimes: Record<AuthorityName, number> = {
  root: 20 * yearMilliseconds,
  issuing: 5 * yearMilliseconds,
};
const backdateMilliseconds = 60_000;
const keyOf: Record<AuthorityName, string> = { root: "system/ca-root", issuing: "system/ca-issuing" };

/** Makes the root and the issuing CA once in an installation's life, and loads them ever after. */
export async function openAuthorities(options: {
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  generator: GeneratorClients;
  trustDomain: string;
  publicHttpAddress: string;
}): Promise<Authorities> {
  const { generator, inTransaction } = options;
  const load = (name: AuthorityName): Promise<AuthorityRow | undefined> =>
    inTransaction(({ sealer, tx }) => findAuthority(tx, sealer, name));
  const open = async (
    name: AuthorityName,
    make: (draft: AuthorityDraft) => Promise<Uint8Array>,
  ): Promise<Authority> => {
    const found = await load(name);
    if (found !== undefined) return authorityOf(found, generator);
    const draft = await draftAuthority(name, generator);
    const certificate = Buffer.from(await make(draft));
    await inTransaction((registry) =>
      insertAuthority(registry.tx, registry.sealer, {
        name,
        generation: 1,
        keyName: keyOf[name],
        keyVersion: draft.keyVersion,
        certificate,
        createdAt: registry.now,
      }),
    );
    const kept = await load(name);
    if (kept === undefined) throw new DomainError("internal", `the ${name} CA was not kept`);
    return authorityOf(kept, generator);
  };
  const organization = options.trustDomain;
  const root = await open("root", (draft) =>
    makeRoot(draft, { commonName: "Claviger root CA", organization }),
  );
  const issuing = await open("issuing", (draft) =>
    makeIssuing(draft, root, { commonName: "Claviger issuing CA", organization }, options.publicHttpAddress),
  );
  return { root, issuing, trustBundle: root.pem };
}

interface AuthorityDraft {
  name: AuthorityName;
  keyVersion: number;
  signer: CertificateSigner;
}

async function draftAuthority(name: AuthorityName, generator: GeneratorClients): Promise<AuthorityDraft> {
  const keyName = keyOf[name];
  await ensureHeldKey(
    { generator: generator.keys, registry: generator.registry },
    { name: keyName, algorithm: "ecdsa-p256", reason: `key of the ${name} CA` },
  );
  const { subjectPublicKeyInfo, version } = await generator.keys.getPublicKey({ name: keyName });
  return { name, keyVersion: version, signer: signerOf(generator, keyName, version, subjectPublicKeyInfo) };
}

function signerOf(
  generator: GeneratorClients,
  name: string,
  version: number,
  subjectPublicKeyInfo: Uint8Array,
): CertificateSigner {
  return {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo,
    async sign(tbs) {
      const { signature } = await generator.cryptography.sign({ name, version, message: tbs });
      return signature;
    },
  };
}

function authorityOf(row: AuthorityRow, generator: GeneratorClients): Authority {
  const certificate = readCertificate(row.certificate);
  const { subject, subjectPublicKeyInfo } = certificate;
  return {
    row,
    pem: encodePem("CERTIFICATE", row.certificate),
    subject,
    keyId: certificate.subjectKeyId ?? keyIdentifier(subjectPublicKeyInfo),
    signer: signerOf(generator, row.keyName, row.keyVersion, subjectPublicKeyInfo),
  };
}

function validity(name: AuthorityName): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - backdateMilliseconds), notAfter: new Date(now + lifetimes[name]) };
}

function makeRoot({ signer }: AuthorityDraft, subject: Name): Promise<Uint8Array> {
  return buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: subject,
    subject,
    ...validity("root"),
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true, pathLength: 1 },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer,
  });
}

function makeIssuing(
  { signer }: AuthorityDraft,
  root: Authority,
  subject: Name,
  publicHttpAddress: string,
): Promise<Uint8Array> {
  return buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: root.subject,
    subject,
    ...validity("issuing"),
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    authorityKeyId: root.keyId,
    basicConstraints: { ca: true, pathLength: 0 },
    keyUsage: ["digitalSignature", "keyCertSign", "cRLSign"],
    crlDistributionPoints: [`http://${publicHttpAddress}/v1/crl/root.crl`],
    caIssuers: [`http://${publicHttpAddress}/v1/ca/root.cer`],
    signer: root.signer,
  });
}
