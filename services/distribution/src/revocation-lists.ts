import { DomainError } from "@claviger/domain-error";
import { buildCrl, encodePem, serialFromHex } from "@claviger/x509";
import type { Authorities, Authority } from "./authorities.ts";
import type { Registry } from "./registry.ts";
import { countRevoked, listRevoked } from "./store/certificates.ts";
import { insertList, newestList, type RevocationListRow } from "./store/revocation-lists.ts";

const lifetimeMilliseconds = 7 * 86_400_000;
/** Signed anew this long before it would expire. */
const renewBeforeMilliseconds = 3 * 86_400_000;
/** An entry stays on one list beyond its certificate's end at least (RFC 5280 section 3.3). */
const expiredKeptMilliseconds = lifetimeMilliseconds;
const backdateMilliseconds = 60_000;

/**
 * The current revocation list of a CA: signed anew when a certificate was revoked since, or when it
 * nears its end. The newest stays in memory, for when the database or the generator is away.
 */
export class RevocationLists {
  readonly #authorities: Authorities;
  readonly #inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  readonly #newest = new Map<string, RevocationListRow>();

  constructor(options: {
    authorities: Authorities;
    inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  }) {
    this.#authorities = options.authorities;
    this.#inTransaction = options.inTransaction;
  }

  /** DER. Falls back to the newest in memory where it is still valid. */
  async current(name: "root" | "issuing"): Promise<Buffer> {
    try {
      const row = await this.#inTransaction((registry) => currentList(registry, this.#authorities[name]));
      this.#newest.set(name, row);
      return row.list;
    } catch (error) {
      const kept = this.#newest.get(name);
      if (kept === undefined || kept.nextUpdate.getTime() < Date.now()) throw error;
      return kept.list;
    }
  }

  async pem(): Promise<string> {
    const lists = [await this.current("issuing"), await this.current("root")];
    return lists.map((list) => encodePem("X509 CRL", list)).join("");
  }
}

async function currentList(registry: Registry, authority: Authority): Promise<RevocationListRow> {
  const { generation, name } = authority.row;
  const newest = await newestList(registry.tx, name, generation);
  const revoked = await countRevoked(registry.tx, name, generation);
  const fresh =
    newest !== undefined && newest.nextUpdate.getTime() - registry.now.getTime() > renewBeforeMilliseconds;
  if (fresh && newest.revoked === revoked) return newest;
  return signList(registry, authority, { number: (newest?.number ?? 0) + 1, revoked });
}

async function signList(
  registry: Registry,
  authority: Authority,
  { number, revoked }: { number: number; revoked: number },
): Promise<RevocationListRow> {
  const { generation, name } = authority.row;
  const expiredBefore = new Date(registry.now.getTime() - expiredKeptMilliseconds);
  const entries = await listRevoked(registry.tx, registry.sealer, {
    authority: name,
    generation,
    expiredBefore,
  });
  const row: RevocationListRow = {
    authority: name,
    authorityGeneration: generation,
    number,
    revoked,
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
    entries: entries.map(({ revocationReason, revokedAt, serial }) => {
      if (revokedAt === null || revocationReason === null) {
        throw new DomainError("internal", "a certificate is listed as revoked without a date or reason");
      }
      return { serial: serialFromHex(serial), revokedAt, reason: revocationReason };
    }),
    signer: authority.signer,
  });
  const signed = { ...row, list: Buffer.from(list) };
  await insertList(registry.tx, signed);
  return signed;
}
