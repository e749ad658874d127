import { randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { buildCertificate, randomSerial } from "@claviger/x509";
import {
  type Authorities,
  type Authority,
  issuingName,
  rootName,
  signerAlgorithmOf,
  slugOf,
} from "./authorities.ts";
import { ensureKey, type GeneratorClients, signerOf } from "./authority-keys.ts";
import { statusAddresses } from "./issuance.ts";
import type { Registry } from "./registry.ts";
import {
  type AuthorityState,
  insertAuthority,
  insertCrossCertificate,
  saveAuthorityState,
} from "./store/authorities.ts";

export interface MakingOptions {
  authorities: Authorities;
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  generator: GeneratorClients;
  trustDomain: string;
  publicHttpAddress: string;
  /** Names of issuing CAs and the algorithm of each one's key. */
  issuingAlgorithms: Readonly<Record<string, string>>;
}

const yearMilliseconds = 365 * 86_400_000;
const rootLifetimeMilliseconds = 20 * yearMilliseconds;
const issuingLifetimeMilliseconds = 5 * yearMilliseconds;
const backdateMilliseconds = 60_000;
const rootAlgorithm = "ecdsa-p256";

/** Makes the CAs once in an installation's life, and those that the configuration adds; loads them ever after. */
export async function openAuthorities(options: MakingOptions): Promise<void> {
  const { authorities } = options;
  await makeAuthority(options, { name: rootName, generation: 1, state: "active" });
  for (const name of Object.keys(options.issuingAlgorithms)) {
    await authorities.refresh();
    const known = await existing(options, name);
    if (!known)
      await makeAuthority(options, { name, generation: await rootGeneration(options), state: "active" });
  }
  await authorities.refresh();
  authorities.current;
}

/** Whether any generation of a CA of this name is there. */
async function existing(options: MakingOptions, name: string): Promise<boolean> {
  return options.inTransaction(async ({ tx }) => {
    const rows = await tx.query("SELECT 1 FROM authorities WHERE name = $1 LIMIT 1", [name]);
    return rows.length > 0;
  });
}

/** Issuing CAs go with the root of their generation. */
async function rootGeneration(options: MakingOptions): Promise<number> {
  return options.inTransaction(async ({ tx }) => {
    const [row] = await tx.query<{ generation: number }>(
      `SELECT a.generation FROM authorities a LEFT JOIN authority_states s USING (name, generation)
       WHERE a.name = 'root' AND COALESCE(s.state, 'active') = 'active' ORDER BY a.generation DESC LIMIT 1`,
    );
    return row?.generation ?? 1;
  });
}

export interface Wanted {
  name: string;
  generation: number;
  state: AuthorityState;
}

/** Makes one generation of a CA, unless it is there: its key, its certificate, its row. Whatever died, runs again. */
export async function makeAuthority(options: MakingOptions, wanted: Wanted): Promise<void> {
  const { generation, name } = wanted;
  const isThere = await options.inTransaction(async ({ tx }) => {
    const rows = await tx.query("SELECT 1 FROM authorities WHERE name = $1 AND generation = $2", [
      name,
      generation,
    ]);
    return rows.length > 0;
  });
  if (isThere) return;
  const algorithm = name === rootName ? rootAlgorithm : options.issuingAlgorithms[name];
  if (algorithm === undefined)
    throw new DomainError("internal", `no algorithm is configured for the CA ${name}`);
  const key = await ensureKey(options.generator, {
    name: keyNameOf(name, generation),
    algorithm,
    reason: `key of the ${slugOf(name, generation)} CA`,
  });
  const certificate = Buffer.from(
    name === rootName ? await makeRoot(options, key, generation) : await makeIssuing(options, key, wanted),
  );
  await options.inTransaction(async ({ now, sealer, tx }) => {
    const row = { name, generation, keyName: key.name, keyVersion: key.version, certificate, createdAt: now };
    await insertAuthority(tx, sealer, row);
    await saveAuthorityState(tx, sealer, { ...wanted, changedAt: now });
  });
}

function keyNameOf(name: string, generation: number): string {
  return generation === 1 ? `system/ca-${name}` : `system/ca-${name}-${generation}`;
}

type Key = Awaited<ReturnType<typeof ensureKey>>;

function makeRoot(options: MakingOptions, key: Key, generation: number): Promise<Uint8Array> {
  const subject = nameOf("Claviger root CA", options.trustDomain, generation);
  const { subjectPublicKeyInfo } = key;
  const algorithm = signerAlgorithmOf(subjectPublicKeyInfo);
  return buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: subject,
    subject,
    ...validity(rootLifetimeMilliseconds),
    subjectPublicKeyInfo,
    basicConstraints: { ca: true },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer: signerOf(options.generator, key.name, key.version, { algorithm, subjectPublicKeyInfo }),
  });
}

/** Every generation has a name of its own: a chain has one reading only, also for who looks by names. */
function nameOf(commonName: string, organization: string, generation: number) {
  return { commonName: generation === 1 ? commonName : `${commonName} ${generation}`, organization };
}

async function makeIssuing(options: MakingOptions, key: Key, wanted: Wanted): Promise<Uint8Array> {
  const { generation, name } = wanted;
  const root = await rootOf(options, generation);
  const common = name === issuingName ? "Claviger issuing CA" : `Claviger ${name} CA`;
  return buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: root.subject,
    subject: nameOf(common, options.trustDomain, generation),
    ...validity(issuingLifetimeMilliseconds),
    subjectPublicKeyInfo: key.subjectPublicKeyInfo,
    authorityKeyId: root.keyId,
    basicConstraints: { ca: true, pathLength: 0 },
    keyUsage: ["digitalSignature", "keyCertSign", "cRLSign"],
    ...statusAddresses(options.publicHttpAddress, root.slug),
    signer: root.signer,
  });
}

async function rootOf(options: MakingOptions, generation: number): Promise<Authority> {
  const root = await options.authorities.read(rootName, generation);
  if (root === undefined) throw new DomainError("internal", `there is no root of generation ${generation}`);
  return root;
}

/** Each of two roots certifies the other, so that whoever trusts one of them can follow chains to the other. */
export async function crossCertify(options: MakingOptions, one: number, other: number): Promise<void> {
  for (const [generation, issuerGeneration] of [
    [other, one],
    [one, other],
  ] as const) {
    const known = await options.inTransaction(({ tx }) =>
      tx.query("SELECT 1 FROM cross_certificates WHERE generation = $1 AND issuer_generation = $2", [
        generation,
        issuerGeneration,
      ]),
    );
    if (known.length > 0) continue;
    const subject = await rootOf(options, generation);
    const issuer = await rootOf(options, issuerGeneration);
    const certificate = await buildCertificate({
      serial: randomSerial(randomBytes),
      issuer: issuer.subject,
      subject: nameOf("Claviger root CA", options.trustDomain, generation),
      notBefore: new Date(Date.now() - backdateMilliseconds),
      notAfter: new Date(Math.min(subject.notAfter.getTime(), issuer.notAfter.getTime())),
      subjectPublicKeyInfo: subject.signer.subjectPublicKeyInfo,
      authorityKeyId: issuer.keyId,
      basicConstraints: { ca: true, pathLength: 1 },
      keyUsage: ["keyCertSign", "cRLSign"],
      ...statusAddresses(options.publicHttpAddress, issuer.slug),
      signer: issuer.signer,
    });
    await options.inTransaction(({ sealer, tx }) =>
      insertCrossCertificate(tx, sealer, {
        name: rootName,
        generation,
        issuerGeneration,
        certificate: Buffer.from(certificate),
      }),
    );
  }
}

function validity(lifetimeMilliseconds: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - backdateMilliseconds), notAfter: new Date(now + lifetimeMilliseconds) };
}
