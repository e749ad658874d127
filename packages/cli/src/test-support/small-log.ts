import { generateKeyPairSync, sign } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import {
  appendLeaves,
  consistencyProof,
  ecdsaKeyId,
  formatCheckpointText,
  formatNote,
  formatVerifierKey,
  inclusionProof,
  leafHash,
  nodeMap,
} from "@claviger/merkle";
import { createProof, type Proof } from "../proof-file.ts";

export interface SmallLog {
  /** C2SP text. */
  verifierKey: string;
  checkpoint(size: number): string;
  consistency(first: number, second: number): Uint8Array[];
  /** Of one record in the tree of all. */
  proof(sequence: number, options?: { erased?: boolean }): Proof;
}

export const origin = "claviger.test/audit";

/** A log of `size` records, signed with a key of its own. */
export function createSmallLog(size: number): SmallLog {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const records = Array.from({ length: size }, (_, index) => recordOf(index));
  const leafHashes = records.map(({ leaf }) => leafHash(Buffer.from(leaf, "utf8")));
  const grown = (count: number) =>
    appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: leafHashes.slice(0, count) });
  const nodes = nodeMap(grown(size).newNodes);
  const checkpoint = (count: number): string => {
    const text = formatCheckpointText({ origin, size: count, root: grown(count).root });
    const signature = sign("sha256", Buffer.from(text), privateKey);
    return formatNote(text, [{ name: origin, keyId: ecdsaKeyId(spki), signature }]);
  };
  return {
    verifierKey: formatVerifierKey(origin, spki),
    checkpoint,
    consistency: (first, second) => consistencyProof(first, second, nodes),
    proof(sequence, { erased = false } = {}) {
      const { leaf, personal, salt } = records[sequence]!;
      return createProof({
        sequence: BigInt(sequence),
        leaf,
        personal: erased ? "" : personal,
        salt: erased ? new Uint8Array() : salt,
        hashes: inclusionProof(sequence, size, nodes),
        checkpoint: checkpoint(size),
      });
    },
  };
}

function recordOf(index: number) {
  return buildAuditRecord({
    id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
    time: new Date(Date.UTC(2026, 0, 1, 0, 0, index)),
    service: "generator",
    method: "claviger.generator.v1.CryptographyService/Encrypt",
    permission: "keys.encrypt",
    resource: "payments/cards",
    outcome: "allowed",
    traceId: "0".repeat(32),
    details: { version: 1, größe: index, "2": true },
    personal: { actor: "spiffe://claviger.test/user/alice", certificateSerial: "4f" },
  });
}
