import {
  type AuditRecord,
  bundleBytesMax,
  bundleId,
  bundleRecordsMax,
  bytesInBundle,
  encodeRecords,
  sealEncoded,
} from "@claviger/audit-record";
import type { KeptRecords, NumberedRecords, SequenceRange } from "./spool-protocol.ts";

interface Size {
  records: number;
  bytes: number;
}

/** Consecutive items in as few groups as a bundle's bounds allow. */
function grouped<Item>(items: readonly Item[], sizeOf: (item: Item) => Size): Item[][] {
  const groups: Item[][] = [];
  let filled: Size = { records: 0, bytes: 0 };
  for (const item of items) {
    const size = sizeOf(item);
    const records = filled.records + size.records;
    const bytes = filled.bytes + size.bytes;
    const group = groups.at(-1);
    if (group === undefined || records > bundleRecordsMax || bytes > bundleBytesMax) {
      groups.push([item]);
      filled = size;
    } else {
      group.push(item);
      filled = { records, bytes };
    }
  }
  return groups;
}

/** The records, in order, as the spool keeps them: no row is too large for a bundle. */
export function toKeep(records: readonly AuditRecord[]): KeptRecords[] {
  return grouped(records, (record) => ({ records: 1, bytes: bytesInBundle(record) })).map((group) => ({
    id: group[0]!.id,
    encoded: encodeRecords(group),
    records: group.length,
  }));
}

/** A bundle on its way to the log, and the rows that it is made of. */
export interface Bundle {
  id: string;
  message: Buffer;
  rows: SequenceRange;
}

/** The rows, in order, in as few bundles as their bounds allow. */
export function bundle(kept: readonly NumberedRecords[], service: string, auditKey: Uint8Array): Bundle[] {
  return grouped(kept, ({ encoded, records }) => ({ records, bytes: encoded.length })).map((group) => {
    const message = sealEncoded(
      group.map(({ encoded }) => encoded),
      service,
      auditKey,
    );
    const records = group.reduce((sum, row) => sum + row.records, 0);
    return {
      id: bundleId(message, records, group[0]!.id),
      message,
      rows: { from: group[0]!.sequence, to: group.at(-1)!.sequence },
    };
  });
}
