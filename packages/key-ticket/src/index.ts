export {
  type BoundRecord,
  boundRecordBytes,
  formatRecord,
  type GroupRecord,
  groupKeyInput,
  parseRecord,
  type RecipientRecord,
} from "./bound-record.ts";
export { openTicket, recipientKeyBytes, recipientKeyId, sealTicket, ticketKeyId } from "./jwe.ts";
export {
  climb,
  emptyGroupRoot,
  emptyHashes,
  type PlacedMember,
  placeHash,
  placeMembersMax,
  slotOf,
  treeDepth,
} from "./member-tree.ts";
export { joinPayload, splitPayload } from "./payload.ts";
export {
  compactJws,
  type DeliveryStatement,
  damaged,
  type GroupKeyStatement,
  keyDigest,
  type PreSharedKeyStatement,
  type SessionStatement,
  type Statement,
  type StatementOf,
  signingInput,
  ticketKey,
  ticketSignerName,
  verifyStatement,
} from "./statement.ts";
