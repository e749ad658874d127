export {
  bundleBytesMax,
  bundleId,
  bundleRecordsMax,
  bytesInBundle,
  encodeRecords,
  openBundle,
  openConfirmation,
  sealBundle,
  sealConfirmation,
  sealEncoded,
} from "./bundle.ts";
export {
  type AuditFacts,
  type AuditOutcome,
  type AuditRecord,
  buildAuditRecord,
  canonicalJson,
  commitment,
  leafBytesMax,
  opensLeaf,
  type PersonalData,
} from "./record.ts";
