export { ByteReader } from "./byte-reader.ts";
export { type BackupCopy, forgetCopies, knownCopies, rememberCopy } from "./copies.ts";
export { type Ending, encodeEnding, endingsTable, readEndings, type SealedEnding } from "./endings.ts";
export { type BackupHeader, encodeHeader, readHeader } from "./header.ts";
export { openStream, sealStream } from "./sealed-stream.ts";
export {
  type BackupEnd,
  type BackupManifest,
  encodeParts,
  type Part,
  readParts,
  SectionCounter,
  type SectionHead,
  type SectionSummary,
} from "./sections.ts";
