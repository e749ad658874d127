import { randomUUID } from "node:crypto";
import {
  type AuditRecord,
  buildAuditRecord,
  bundleId,
  openBundle,
  sealConfirmation,
} from "@claviger/audit-record";
import type { Bus, BusMessage } from "@claviger/bus";
import type { Database, Transaction } from "@claviger/database";
import { appendLeaves, frontierCoordinates, leafHash } from "@claviger/merkle";
import { insertRecords, knownIds } from "./store/records.ts";
import { insertNodes, lockTree, readNodes, setTreeSize } from "./store/tree.ts";

export interface SequencerOptions {
  database: Database;
  bus: Bus;
  writerKeys: ReadonlyMap<string, Buffer>;
  now: () => Date;
  onAppended: () => void;
  onForgery: (what: string) => void;
}

interface Arrived {
  writer: string;
  id: string;
  records: AuditRecord[];
}

const subjectPrefix = "claviger.audit.";

/**
 * Takes bundles of records off the bus, appends each record once to the tree, and confirms the bundles to
 * their writers. What
 * does not carry its writer's authenticator never enters as the record it claims to be; that it was
 * tried does.
 */
export function createSequencer(options: SequencerOptions): (messages: BusMessage[]) => Promise<void> {
  return async (messages) => {
    const { arrived, forged } = openAll(messages, options.writerKeys);
    const alarms = forged.length === 0 ? [] : [forgeryRecord(forged, options.now())];
    const records = [...arrived.flatMap((bundle) => bundle.records), ...alarms];
    if (records.length > 0) {
      await options.database.transaction((tx) => append(tx, records, options.now()));
      options.onAppended();
    }
    confirm(options, arrived);
    for (const what of forged) options.onForgery(what);
  };
}

function openAll(messages: readonly BusMessage[], keys: ReadonlyMap<string, Buffer>) {
  const arrived: Arrived[] = [];
  const forged: string[] = [];
  for (const message of messages) {
    const writer = message.subject.slice(subjectPrefix.length);
    const key = keys.get(writer);
    try {
      if (key === undefined) throw new Error("nobody writes there");
      const records = openBundle(message.data, writer, key);
      arrived.push({ writer, records, id: bundleId(message.data, records.length, records[0]!.id) });
    } catch (error) {
      forged.push(`${message.subject.slice(0, 100)}: ${(error as Error).message}`);
    }
  }
  return { arrived, forged };
}

/** One record a batch, however many messages were forged: an attacker cannot make the log grow fast. */
function forgeryRecord(forged: readonly string[], time: Date): AuditRecord {
  return buildAuditRecord({
    id: randomUUID(),
    time,
    service: "audit",
    method: "claviger.audit/ForgedRecord",
    permission: "",
    resource: "*",
    outcome: "refused",
    errorKind: "integrity",
    traceId: "",
    details: { messages: forged.length, first: forged[0] ?? "" },
    personal: { actor: "", certificateSerial: "" },
  });
}

async function append(tx: Transaction, records: readonly AuditRecord[], recordedAt: Date): Promise<void> {
  const size = await lockTree(tx);
  const known = await knownIds(
    tx,
    records.map(({ id }) => id),
  );
  const fresh = records.filter(({ id }) => !known.has(id) && known.add(id));
  if (fresh.length === 0) return;
  const appended = appendLeaves({
    size,
    frontier: await readNodes(tx, frontierCoordinates(size)),
    leafHashes: fresh.map(({ leaf }) => leafHash(Buffer.from(leaf, "utf8"))),
  });
  await insertRecords(tx, size, fresh, recordedAt);
  await insertNodes(tx, appended.newNodes);
  await setTreeSize(tx, appended.size);
}

/** Also for records that had been appended before: their writer has not heard of it. */
function confirm({ bus, writerKeys }: SequencerOptions, arrived: readonly Arrived[]): void {
  const byWriter = Map.groupBy(arrived, ({ writer }) => writer);
  for (const [writer, items] of byWriter) {
    const ids = items.map(({ id }) => id);
    bus.broadcast(`claviger.confirm.${writer}`, sealConfirmation(ids, writer, writerKeys.get(writer)!));
  }
}
