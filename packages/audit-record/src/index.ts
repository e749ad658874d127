export {
  bundleBytesMax,
  bundleId,
  bundleRecordsMax,
  bytesInBundle,
  openBundle,
  openConfirmation,
  sealBundle,
  sealConfirmation,
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
