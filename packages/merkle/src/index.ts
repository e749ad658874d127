export type { Checkpoint, OpenedCheckpoint } from "./checkpoint.ts";
export {
  extensionLinesMax,
  formatCheckpointText,
  openCheckpoint,
  parseCheckpointText,
} from "./checkpoint.ts";
export type { NodeCoordinate } from "./coordinates.ts";
export {
  consistencyProofCoordinates,
  frontierCoordinates,
  inclusionProofCoordinates,
  rootCoordinates,
  treeSizeMax,
} from "./coordinates.ts";
export { emptyRoot, hashBytes, leafHash, nodeHash } from "./hashing.ts";
export type { NoteSignature, ParsedNote } from "./note.ts";
export { formatNote, noteSignaturesMax, noteTextBytesMax, parseNote } from "./note.ts";
export type { ConsistencyClaim, InclusionClaim } from "./proofs.ts";
export { proofHashesMax, verifyConsistency, verifyInclusion } from "./proofs.ts";
export type { Append, AppendedTree, NodeMap, TreeNode } from "./tree.ts";
export { appendLeaves, consistencyProof, inclusionProof, leavesMax, nodeMap, rootFrom } from "./tree.ts";
export type { VerifiedNote, VerifierKey } from "./verifier-key.ts";
export {
  ecdsaKeyId,
  formatVerifierKey,
  parseVerifierKey,
  verifierKeysMax,
  verifyNote,
} from "./verifier-key.ts";
