import type { AuditRecord } from "@claviger/audit-record";
import type { ColumnCipher } from "@claviger/column-cipher";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { type DomainEvent, insertEvent } from "@claviger/outbox";
import type { Finding, Ledger } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import { freshKey } from "./freshness.ts";
import { parseKeyName } from "./names.ts";
import { findKeyring, type KeyringRow } from "./store/keyrings.ts";
import type { KeyRow } from "./store/keys.ts";

/** What every operation on the registry needs; one for each transaction. */
export interface Registry {
  tx: Transaction;
  sealer: RowSealer;
  columns: ColumnCipher;
  now: Date;
  /** Who acts where nobody asked: this service. */
  actor: string;
  /** A record besides the request's own, in the same transaction. */
  record: (record: AuditRecord) => Promise<void>;
  ledger: Pick<Ledger, "find" | "learn" | "places" | "whyOld">;
  /** Of a row that was changed outside Claviger. */
  tell: (finding: Finding) => void;
}

export function fullName(key: KeyRow): string {
  return `${key.keyring}/${key.name}`;
}

/** @throws DomainError `not-found` */
export async function requireKey(
  registry: Registry,
  name: string,
  lock: "read" | "lock" = "read",
): Promise<KeyRow> {
  const key = await freshKey(registry, parseKeyName(name), lock);
  if (key === undefined) {
    throw new DomainError("not-found", `there is no key ${name}`, {
      hint: "claviger keys list shows what there is",
    });
  }
  return key;
}

/** @throws DomainError `not-found` */
export async function requireKeyring({ sealer, tx }: Registry, name: string): Promise<KeyringRow> {
  const keyring = await findKeyring(tx, sealer, name);
  if (keyring === undefined) throw new DomainError("not-found", `there is no keyring ${name}`);
  return keyring;
}

export async function publish(
  registry: Registry,
  type: string,
  subject: string,
  data: DomainEvent["data"] = {},
): Promise<void> {
  await insertEvent(registry.tx, "storage", { type, subject, time: registry.now, data });
}
