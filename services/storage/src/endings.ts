import { type Ending, endingsTable, type SealedEnding } from "@claviger/backup";
import type { Database, Transaction } from "@claviger/database";
import { type KeyState, mayMove } from "@claviger/lifecycle";
import type { RowSealer } from "@claviger/row-seal";
import { moveKey, moveVersion } from "./key-dates.ts";
import { purge } from "./key-lifecycle.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { type BindingRow, deleteBinding, sealedBindings } from "./store/bindings.ts";
import { deleteGroupMember, type GroupMemberRow, sealedGroupMembers } from "./store/groups.ts";
import { findVersion, sealedVersions, updateVersion, type VersionRow } from "./store/key-versions.ts";
import { type KeyRow, keyNames, sealedKeys, updateKey } from "./store/keys.ts";
import { insertRevocation, type RevocationRow, sealedRevocations } from "./store/revocations.ts";
import { readSealedPage, readSealedRows, type SealedTable } from "./store/sealed-table.ts";
import { sealedWithdrawals, type WithdrawalRow } from "./store/withdrawals.ts";

const pageMax = 500;
/** Taking these away takes power away. */
const powers: Readonly<Record<string, SealedTable>> = {
  role_bindings: sealedBindings,
  group_members: sealedGroupMembers,
};

const nothing: Omit<Ending, "kind" | "subject" | "at"> = {
  place: "",
  version: 0,
  state: "",
  reason: "",
  destroyAt: "",
};

/**
 * Everything that was ended until now, page by page, each entry under a seal of its own. Rows of which the seal does not
 * fit are left out: what they say is not known.
 */
export async function* listEndings(
  { database, sealer }: { database: Database; sealer: RowSealer },
  { trustDomain, now }: { trustDomain: string; now: Date },
): AsyncGenerator<SealedEnding[]> {
  let count = 0;
  const seal = (endings: Ending[]): SealedEnding[] => {
    count += endings.length;
    return endings.map((ending) => ({ ending, seal: sealer.seal(endingsTable, { ...ending }) }));
  };
  const pages = <Row extends object>(
    table: SealedTable,
    tell: (tx: Transaction, rows: Row[]) => Promise<Ending[]>,
  ) => readEveryPage(database, sealer, table, tell);
  for await (const page of pages(sealedKeys, async (_, rows: KeyRow[]) => rows.flatMap(endedKey)))
    yield seal(page);
  for await (const page of pages(sealedVersions, endedVersions)) yield seal(page);
  for await (const page of pages(sealedRevocations, async (_, rows: RevocationRow[]) => rows.map(revoked))) {
    yield seal(page);
  }
  for await (const page of pages(sealedWithdrawals, async (_, rows: WithdrawalRow[]) =>
    rows.flatMap(withdrawn),
  )) {
    yield seal(page);
  }
  const taken: Ending = {
    ...nothing,
    kind: "taken",
    subject: trustDomain,
    version: count,
    at: now.toISOString(),
  };
  yield [{ ending: taken, seal: sealer.seal(endingsTable, { ...taken }) }];
}

async function* readEveryPage<Row extends object>(
  database: Database,
  sealer: RowSealer,
  table: SealedTable,
  tell: (tx: Transaction, rows: Row[]) => Promise<Ending[]>,
): AsyncGenerator<Ending[]> {
  let after: string[] | undefined;
  do {
    const page = await database.transaction(async (tx) => {
      const { end, rows } = await readSealedPage(tx, table, after, pageMax);
      const genuine = rows.flatMap((row) => {
        try {
          return [table.open(sealer, row) as Row];
        } catch {
          return [];
        }
      });
      return { end, endings: await tell(tx, genuine) };
    });
    if (page.endings.length > 0) yield page.endings;
    after = page.end;
  } while (after !== undefined);
}

function endedKey(row: KeyRow): Ending[] {
  if (row.state === "active" && row.destroyAt === null) return [];
  if (row.state === "pre-activation") return [];
  return [
    {
      ...nothing,
      kind: "key",
      subject: fullName(row),
      place: row.id,
      state: row.state,
      reason: row.stateReason,
      destroyAt: row.destroyAt?.toISOString() ?? "",
      at: row.rotatedAt.toISOString(),
    },
  ];
}

/** Of keys that live on: what is said of a destroyed one as a whole is enough. */
async function endedVersions(tx: Transaction, rows: VersionRow[]): Promise<Ending[]> {
  const ended = rows.filter(
    ({ state }) => state === "compromised" || state === "suspended" || state === "destroyed",
  );
  const names = await keyNames(
    tx,
    ended.map(({ keyId }) => keyId),
  );
  return ended.map(({ createdAt, keyId, state, stateReason, version }) => ({
    ...nothing,
    kind: "key",
    subject: names.get(keyId) ?? "",
    place: keyId,
    version,
    state,
    reason: stateReason,
    at: createdAt.toISOString(),
  }));
}

function revoked({ reason, revokedAt, subject }: RevocationRow): Ending {
  return { ...nothing, kind: "revocation", subject, reason, at: revokedAt.toISOString() };
}

function withdrawn({ place, source, withdrawnAt }: WithdrawalRow): Ending[] {
  if (!Object.hasOwn(powers, source)) return [];
  return [{ ...nothing, kind: "withdrawal", subject: source, place, at: withdrawnAt.toISOString() }];
}

/**
 * Ends again what was ended since the rows were as they are. Whatever is ended already, or is not there, stays so.
 * Resolves to whether something changed. @throws DomainError `integrity` where it is nothing that storage sealed
 */
export async function applyEnding(registry: Registry, { ending, seal }: SealedEnding): Promise<boolean> {
  registry.sealer.check(endingsTable, `the ending of ${ending.subject}`, { ...ending }, seal);
  switch (ending.kind) {
    case "key":
      return endKey(registry, ending);
    case "revocation": {
      const [known] = await readRows(registry, sealedRevocations, [ending.subject]);
      if (known !== undefined) return false;
      const row = { subject: ending.subject, reason: ending.reason, revokedAt: new Date(ending.at) };
      await insertRevocation(registry.tx, registry.sealer, row);
      await publish(registry, "access.changed", "revocations");
      return true;
    }
    case "withdrawal":
      return endPower(registry, ending);
    case "taken":
      return false;
  }
}

async function endKey(registry: Registry, ending: Ending): Promise<boolean> {
  const [key] = (await readRows(registry, sealedKeys, [ending.place])) as KeyRow[];
  if (key === undefined || key.state === "destroyed") return false;
  if (ending.version > 0) return endVersion(registry, key, ending);
  if (ending.state === "destroyed") {
    await purge(registry, key);
    return true;
  }
  let next = key;
  const target = ending.state as KeyState;
  if (key.destroyAt === null && key.state !== target && mayMove(key.state, target)) {
    next = await moveKey(registry, key, target, { reason: ending.reason, at: registry.now });
  }
  if (ending.destroyAt !== "" && key.destroyAt === null) {
    await updateKey(registry.tx, registry.sealer, { ...next, destroyAt: new Date(ending.destroyAt) });
    const { destroyAt } = ending;
    await publish(registry, "key.destruction-scheduled", fullName(key), { keyId: key.id, destroyAt });
    return true;
  }
  return next !== key;
}

async function endVersion(registry: Registry, key: KeyRow, ending: Ending): Promise<boolean> {
  const row = await findVersion(registry.tx, registry.sealer, key.id, ending.version);
  if (row === undefined || row.state === ending.state || row.state === "destroyed") return false;
  const target = ending.state as KeyState;
  if (target === "destroyed") {
    await updateVersion(registry.tx, registry.sealer, { ...row, state: target, material: null });
    const { state, version } = ending;
    await publish(registry, "key.state-changed", fullName(key), {
      keyId: key.id,
      version,
      state,
      reason: "",
    });
    return true;
  }
  if (!mayMove(row.state, target)) return false;
  await moveVersion(registry, key, row, target, { reason: ending.reason, at: registry.now });
  return true;
}

/** What was granted again after it had been taken back has another row, or a later day. */
async function endPower(registry: Registry, ending: Ending): Promise<boolean> {
  const table = powers[ending.subject];
  if (table === undefined) return false;
  const [row] = await readRows(registry, table, [ending.place]);
  const withdrawnAt = new Date(ending.at);
  if (row === undefined || table.revision(row) > withdrawnAt.getTime()) return false;
  const { sealer, tx } = registry;
  if (table === sealedBindings) await deleteBinding(tx, sealer, row as BindingRow, withdrawnAt);
  else await deleteGroupMember(tx, sealer, row as GroupMemberRow, withdrawnAt);
  await publish(registry, "access.changed", ending.subject);
  return true;
}

async function readRows(registry: Registry, table: SealedTable, places: string[]): Promise<object[]> {
  const rows = await readSealedRows(registry.tx, table, places);
  return rows.map((row) => table.open(registry.sealer, row) as object);
}
