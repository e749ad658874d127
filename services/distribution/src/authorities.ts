import { DomainError } from "@claviger/domain-error";
import {
  type CertificateSigner,
  encodePem,
  keyIdentifier,
  loadPublicKey,
  readCertificate,
  type SignerAlgorithm,
} from "@claviger/x509";
import { type GeneratorClients, signerOf } from "./authority-keys.ts";
import type { Registry } from "./registry.ts";
import {
  type AuthorityChainRow,
  type AuthorityRow,
  type AuthorityState,
  type AuthorityStateRow,
  authorityStates,
  type CrossCertificateRow,
  listAuthorities,
  listAuthorityChains,
  listAuthorityStates,
  listCrossCertificates,
} from "./store/authorities.ts";

/** One generation of a certification authority: its key is in the HSM, its signatures come from the generator. */
export interface Authority {
  row: AuthorityRow;
  state: AuthorityState;
  stateChangedAt: Date | undefined;
  /** What its revocation list and certificate are called over HTTP. */
  slug: string;
  pem: string;
  /** PEM: what leads from a certificate of this CA to any root that is trusted now, itself first. */
  chain: string;
  /** The subject's DER, which children carry as their issuer byte for byte. */
  subject: Uint8Array;
  issuerSubject: Uint8Array;
  keyId: Uint8Array;
  /** The key id of the CA that signed it; its own for a root. */
  issuerKeyId: Uint8Array;
  notAfter: Date;
  serial: string;
  signer: CertificateSigner;
}

export const rootName = "root";
export const issuingName = "issuing";

/** Every CA at one moment; nothing in it changes. */
export interface AuthoritySnapshot {
  all: readonly Authority[];
  /** The generations that sign now. */
  root: Authority;
  issuing: Authority;
  /** PEM: every root that is trusted now. */
  trustBundle: string;
  /** Grows whenever the bundle or who signs changes. */
  sequence: number;
}

/**
 * The CAs as this process knows them. They are read again every second and after each change here, so
 * that all replicas follow a rotation; while the database is away, what was read last holds.
 */
export class Authorities {
  readonly #inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  readonly #generator: GeneratorClients;
  #snapshot: AuthoritySnapshot | undefined;
  #fingerprint = "";
  readonly #listeners = new Set<() => void>();

  constructor(options: {
    inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
    generator: GeneratorClients;
  }) {
    this.#inTransaction = options.inTransaction;
    this.#generator = options.generator;
  }

  get current(): AuthoritySnapshot {
    if (this.#snapshot === undefined) throw new DomainError("unavailable", "the CAs are not loaded yet");
    return this.#snapshot;
  }

  get root(): Authority {
    return this.current.root;
  }

  get issuing(): Authority {
    return this.current.issuing;
  }

  get trustBundle(): string {
    return this.current.trustBundle;
  }

  /** The generation of `name` that signs now. @throws DomainError `not-found` */
  signing(name: string): Authority {
    const found = this.current.all.findLast(({ row, state }) => row.name === name && state === "active");
    if (found !== undefined) return found;
    const names = new Set(this.current.all.map(({ row }) => row.name));
    throw new DomainError("not-found", `there is no CA ${name.slice(0, 40)} that signs`, {
      hint: `CAs are ${[...names].join(", ")}`,
    });
  }

  find(name: string, generation: number): Authority | undefined {
    return this.current.all.find(({ row }) => row.name === name && row.generation === generation);
  }

  bySlug(slug: string): Authority | undefined {
    return this.current.all.find((authority) => authority.slug === slug);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the CAs again. A generation that went back in its states is refused: Claviger never does that. */
  async refresh(): Promise<void> {
    const read = await this.#inTransaction(async ({ sealer, tx }) => ({
      rows: await listAuthorities(tx, sealer),
      states: await listAuthorityStates(tx, sealer),
      crosses: await listCrossCertificates(tx, sealer),
      chains: await listAuthorityChains(tx, sealer),
    }));
    const rowOf = ({ generation, name }: AuthorityRow) =>
      read.states.find((row) => row.name === name && row.generation === generation);
    const stateOf = (row: AuthorityRow): AuthorityState => rowOf(row)?.state ?? "active";
    for (const row of read.rows) this.#refuseSteppingBack(row, stateOf(row));
    const fingerprint = JSON.stringify([
      read.rows.map((row) => [row.name, row.generation, stateOf(row)]),
      read.crosses.map((row) => [row.name, row.generation, row.issuerGeneration]),
    ]);
    if (fingerprint === this.#fingerprint) return;
    const all = read.rows.map((row) => authorityOf(row, rowOf(row), this.#generator));
    const snapshot = snapshotOf(all, read);
    if (snapshot === undefined) return;
    this.#snapshot = snapshot;
    this.#fingerprint = fingerprint;
    for (const listener of this.#listeners) listener();
  }

  /** One generation out of the database, also while there is none yet that signs. */
  async read(name: string, generation: number): Promise<Authority | undefined> {
    const rows = await this.#inTransaction(({ sealer, tx }) => listAuthorities(tx, sealer));
    const row = rows.find((candidate) => candidate.name === name && candidate.generation === generation);
    return row && authorityOf(row, undefined, this.#generator);
  }

  #refuseSteppingBack(row: AuthorityRow, state: AuthorityState): void {
    const known = this.#snapshot && this.find(row.name, row.generation);
    if (known === undefined || authorityStates.indexOf(state) >= authorityStates.indexOf(known.state)) return;
    throw new DomainError(
      "integrity",
      `the ${row.name} CA's generation ${row.generation} was ${known.state} and is ${state} in the database`,
      {
        hint: "somebody put an older row back, or took one away: `claviger audit search` shows what was done",
      },
    );
  }
}

function authorityOf(
  row: AuthorityRow,
  stateRow: AuthorityStateRow | undefined,
  generator: GeneratorClients,
): Authority {
  const certificate = readCertificate(row.certificate);
  const { subject, subjectPublicKeyInfo } = certificate;
  const pem = encodePem("CERTIFICATE", row.certificate);
  const keyId = certificate.subjectKeyId ?? keyIdentifier(subjectPublicKeyInfo);
  return {
    row,
    state: stateRow?.state ?? "active",
    stateChangedAt: stateRow?.changedAt,
    slug: slugOf(row.name, row.generation),
    pem,
    chain: pem,
    subject,
    issuerSubject: certificate.issuer,
    keyId,
    issuerKeyId: certificate.authorityKeyId ?? keyId,
    notAfter: certificate.notAfter,
    serial: certificate.serial,
    signer: signerOf(generator, row.keyName, row.keyVersion, {
      algorithm: signerAlgorithmOf(subjectPublicKeyInfo),
      subjectPublicKeyInfo,
    }),
  };
}

/** The first generation has the bare name, as certificates that were issued before there were others say. */
export function slugOf(name: string, generation: number): string {
  return generation === 1 ? name : `${name}.${generation}`;
}

export function signerAlgorithmOf(subjectPublicKeyInfo: Uint8Array): SignerAlgorithm {
  const { keyType } = loadPublicKey(subjectPublicKeyInfo);
  if (keyType === "ec-p256") return "ecdsa-p256-sha256";
  if (keyType === "ec-p384") return "ecdsa-p384-sha384";
  if (keyType.startsWith("rsa-")) return "rsa-sha256";
  throw new DomainError("failed-precondition", `a CA does not sign with a key of type ${keyType}`, {
    hint: "use P-256, P-384 or RSA",
  });
}

const trusted: ReadonlySet<AuthorityState> = new Set(["coming", "active", "retiring"]);

/** Nothing where there is no root or issuing CA that signs yet. */
function snapshotOf(
  all: readonly Authority[],
  { chains, crosses }: { crosses: readonly CrossCertificateRow[]; chains: readonly AuthorityChainRow[] },
): AuthoritySnapshot | undefined {
  const newest = (name: string): Authority | undefined =>
    all.findLast(({ row, state }) => row.name === name && state === "active");
  const roots = all.filter(({ row, state }) => row.name === rootName && trusted.has(state));
  const chained = all.map((authority) => ({
    ...authority,
    chain: chainOf(authority, roots, crosses) + outsideChainOf(authority, chains),
  }));
  const [root, issuing] = [newest(rootName), newest(issuingName)];
  if (root === undefined || issuing === undefined) return undefined;
  const isSame = (one: Authority) => (other: Authority) => one.slug === other.slug;
  return {
    all: chained,
    root: chained.find(isSame(root)) ?? root,
    issuing: chained.find(isSame(issuing)) ?? issuing,
    trustBundle: roots.map(({ pem }) => pem).join(""),
    sequence: all.reduce((sum, { state }) => sum + authorityStates.indexOf(state) + 1, 0),
  };
}

function outsideChainOf({ row }: Authority, chains: readonly AuthorityChainRow[]): string {
  return (
    chains.find(({ generation, name }) => name === row.name && generation === row.generation)?.chain ?? ""
  );
}

/** Itself, and what the roots that are trusted beside its own signed for its own. */
function chainOf(
  authority: Authority,
  roots: readonly Authority[],
  crosses: readonly CrossCertificateRow[],
): string {
  if (authority.row.name === rootName) return authority.pem;
  const root = roots.find(({ keyId }) => Buffer.compare(keyId, authority.issuerKeyId) === 0);
  const fitting = crosses.filter(
    ({ generation, issuerGeneration }) =>
      generation === root?.row.generation &&
      roots.some(({ row }) => row.generation === issuerGeneration && issuerGeneration < generation),
  );
  return authority.pem + fitting.map((row) => encodePem("CERTIFICATE", row.certificate)).join("");
}
