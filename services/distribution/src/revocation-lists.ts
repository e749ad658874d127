import { DomainError } from "@claviger/domain-error";
import { buildCrl, type CrlEntry, encodePem, serialFromHex } from "@claviger/x509";
import { type Authorities, type Authority, rootName } from "./authorities.ts";
import type { Registry } from "./registry.ts";
import { changesOf } from "./store/authority-changes.ts";
import { type CertificateRow, listRevoked } from "./store/certificates.ts";
import { insertList, newestList, type RevocationListRow } from "./store/revocation-lists.ts";

const lifetimeMilliseconds = 7 * 86_400_000;
/** Signed anew this long before it would expire. */
const renewBeforeMilliseconds = 3 * 86_400_000;
/** An entry stays on one list beyond its certificate's end at least (RFC 5280 section 3.3). */
const expiredKeptMilliseconds = lifetimeMilliseconds;
const backdateMilliseconds = 60_000;
/** How long a list is given without a look at the database; a revocation here, or one heard of, ends it at once. */
const leaseMilliseconds = 10_000;
const pageSize = 1000;
/** A list that took longer than this to sign is signed again only after ten times as long. */
const slowMilliseconds = 1000;
const pauseMillisecondsMax = 300_000;

interface Kept {
  row: RevocationListRow;
  /** By a monotonic clock. */
  confirmedAt: number;
  tookMilliseconds: number;
  signedAt: number;
}

export interface RevocationListsOptions {
  authorities: Authorities;
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  onProgress: (what: string) => void;
}

/**
 * The current revocation list of each CA: signed anew when a certificate was revoked since, or when it
 * nears its end. The newest stays in memory, for when the database or the generator is away.
 */
export class RevocationLists {
  readonly #options: RevocationListsOptions;
  readonly #newest = new Map<string, Kept>();
  readonly #reading = new Map<string, Promise<Kept>>();

  constructor(options: RevocationListsOptions) {
    this.#options = options;
  }

  /** DER. Falls back to the newest in memory where it is still valid. */
  async current(authority: Authority): Promise<Buffer> {
    const kept = this.#newest.get(authority.slug);
    if (kept !== undefined && performance.now() - kept.confirmedAt < leaseMilliseconds) return kept.row.list;
    const reading = this.#reading.get(authority.slug) ?? this.#read(authority, kept);
    this.#reading.set(authority.slug, reading);
    try {
      return (await reading).row.list;
    } catch (error) {
      if (kept === undefined || kept.row.nextUpdate.getTime() < Date.now()) throw error;
      kept.confirmedAt = performance.now() - leaseMilliseconds + 1000;
      return kept.row.list;
    } finally {
      this.#reading.delete(authority.slug);
    }
  }

  /** Something was revoked: the next one who asks has the database looked at. */
  doubt(): void {
    for (const kept of this.#newest.values()) kept.confirmedAt = Number.NEGATIVE_INFINITY;
  }

  /** Every CA's, so that each is in memory, and signed anew in time although nobody asks. */
  async refresh(): Promise<void> {
    for (const authority of this.#listed()) await this.current(authority);
  }

  async pem(): Promise<string> {
    let lists = "";
    for (const authority of this.#listed()) {
      lists += encodePem("X509 CRL", await this.current(authority));
    }
    return lists;
  }

  /** Issuing CAs first, roots last; none for what has ended. */
  #listed(): Authority[] {
    const all = this.#options.authorities.current.all.filter(({ state }) => state !== "retired");
    const isRoot = ({ row }: Authority): boolean => row.name === rootName;
    return [...all.filter((authority) => !isRoot(authority)), ...all.filter(isRoot)];
  }

  async #read(authority: Authority, kept: Kept | undefined): Promise<Kept> {
    const confirmedAt = performance.now();
    if (kept !== undefined && isPausing(kept, confirmedAt)) return kept;
    const row = await this.#options.inTransaction((registry) => this.#currentList(registry, authority));
    const isNew = row.number !== kept?.row.number;
    const found: Kept = {
      row,
      confirmedAt,
      tookMilliseconds: isNew ? performance.now() - confirmedAt : (kept?.tookMilliseconds ?? 0),
      signedAt: isNew ? performance.now() : (kept?.signedAt ?? confirmedAt),
    };
    this.#newest.set(authority.slug, found);
    return found;
  }

  async #currentList(registry: Registry, authority: Authority): Promise<RevocationListRow> {
    const { generation, name } = authority.row;
    // Numbers are given once, whichever replica signs.
    await registry.tx.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`crl ${authority.slug}`]);
    const newest = await newestList(registry.tx, name, generation);
    const changes =
      (await changesOf(registry.tx, { authority: name, generation })) + this.#revokedBelow(authority).length;
    const isFresh =
      newest !== undefined && newest.nextUpdate.getTime() - registry.now.getTime() > renewBeforeMilliseconds;
    if (isFresh && newest.changes === changes) return newest;
    return this.#sign(registry, authority, { number: (newest?.number ?? 0) + 1, changes });
  }

  /** CAs that this one signed and that are distrusted now: no row of certificates names them. */
  #revokedBelow({ keyId }: Authority): CrlEntry[] {
    return this.#options.authorities.current.all
      .filter((ca) => ca.state === "distrusted" && ca.row.name !== rootName)
      .filter(({ issuerKeyId }) => Buffer.compare(issuerKeyId, keyId) === 0)
      .map((ca) => ({
        serial: serialFromHex(ca.serial),
        revokedAt: ca.stateChangedAt ?? ca.row.createdAt,
        reason: "cACompromise",
      }));
  }

  async #sign(
    registry: Registry,
    authority: Authority,
    { changes, number }: { number: number; changes: number },
  ): Promise<RevocationListRow> {
    const { generation, name } = authority.row;
    const { onProgress } = this.#options;
    const row: RevocationListRow = {
      authority: name,
      authorityGeneration: generation,
      number,
      changes,
      thisUpdate: new Date(registry.now.getTime() - backdateMilliseconds),
      nextUpdate: new Date(registry.now.getTime() + lifetimeMilliseconds),
      list: Buffer.alloc(0),
    };
    const list = await buildCrl({
      issuer: authority.subject,
      thisUpdate: row.thisUpdate,
      nextUpdate: row.nextUpdate,
      number,
      authorityKeyId: authority.keyId,
      entries: revokedEntries(registry, authority, this.#revokedBelow(authority)),
      onProgress: (entries) =>
        onProgress(`the ${authority.slug} CA's revocation list has ${entries} entries so far`),
      signer: authority.signer,
    });
    const signed = { ...row, list: Buffer.from(list.buffer, list.byteOffset, list.byteLength) };
    await insertList(registry.tx, signed);
    return signed;
  }
}

/** A very long list takes seconds to sign: revocations in the meantime are gathered, OCSP knows each at once. */
function isPausing({ row, signedAt, tookMilliseconds }: Kept, now: number): boolean {
  if (tookMilliseconds < slowMilliseconds) return false;
  if (row.nextUpdate.getTime() - Date.now() < renewBeforeMilliseconds) return false;
  return now - signedAt < Math.min(tookMilliseconds * 10, pauseMillisecondsMax);
}

/** Page by page: what a page held is let go of once it is encoded. */
async function* revokedEntries(
  registry: Registry,
  authority: Authority,
  below: readonly CrlEntry[],
): AsyncGenerator<readonly CrlEntry[]> {
  yield below;
  const { generation, name } = authority.row;
  const expiredBefore = new Date(registry.now.getTime() - expiredKeptMilliseconds);
  for (let after = ""; ; ) {
    const of = { authority: name, generation, expiredBefore, after, limit: pageSize };
    const rows = await listRevoked(registry.tx, registry.sealer, of);
    yield rows.map(entryOf);
    if (rows.length < pageSize) return;
    after = rows.at(-1)?.serial ?? "";
  }
}

function entryOf({ revocationReason, revokedAt, serial }: CertificateRow): CrlEntry {
  if (revokedAt === null || revocationReason === null) {
    throw new DomainError("internal", "a certificate is listed as revoked without a date or reason");
  }
  return { serial: serialFromHex(serial), revokedAt, reason: revocationReason };
}
