import {
  type AuditRecord,
  bundleBytesMax,
  bundleId,
  bundleRecordsMax,
  bytesInBundle,
  sealBundle,
} from "@claviger/audit-record";
import type { SpooledBundle } from "./spool-protocol.ts";

/** The records, in order, in as few bundles as their bounds allow. */
export function bundle(
  records: readonly AuditRecord[],
  service: string,
  auditKey: Uint8Array,
): SpooledBundle[] {
  const groups: AuditRecord[][] = [];
  let bytes = 0;
  for (const record of records) {
    const more = bytesInBundle(record);
    const group = groups.at(-1);
    if (group === undefined || group.length === bundleRecordsMax || bytes + more > bundleBytesMax) {
      groups.push([record]);
      bytes = more;
    } else {
      group.push(record);
      bytes += more;
    }
  }
  return groups.map((group) => ({
    id: bundleId(group),
    payload: sealBundle(group, service, auditKey),
    records: group.length,
  }));
}
