import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import {
  consistencyProof,
  consistencyProofCoordinates,
  inclusionProof,
  inclusionProofCoordinates,
} from "@claviger/merkle";
import type { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { type Handlers, pageSize, pageToken, readNumberToken } from "@claviger/rpc";
import type { Checkpointer } from "../checkpointer.ts";
import { findRecord, type RecordRow, searchRecords } from "../store/records.ts";
import { readNodes, readTreeSize } from "../store/tree.ts";

const pageSizeDefault = 50;

export function auditHandlers(checkpointer: Checkpointer): Handlers<typeof AuditService, Transaction> {
  return {
    async searchRecords(request, { unit }) {
      const limit = pageSize(request.pageSize || pageSizeDefault);
      const rows = await searchRecords(unit, {
        actor: request.actor,
        resource: request.resource,
        method: request.method,
        outcome: request.outcome,
        since: readTime(request.since),
        until: readTime(request.until),
        before: request.pageToken === "" ? null : readNumberToken(request.pageToken),
        limit,
      });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        records: rows.map(recordMessage),
        nextPageToken: pageToken(last === undefined ? undefined : String(last.sequence)),
      };
    },
    async getInclusionProof(request, { note, unit }) {
      const sequence = Number(request.sequence);
      note({ sequence: String(request.sequence) });
      const row = await findRecord(unit, sequence);
      if (row === undefined) {
        throw new DomainError("not-found", `the log has no record ${request.sequence} yet`, {
          hint: `it holds ${await readTreeSize(unit)} records, numbered from 0`,
        });
      }
      const checkpoint = await checkpointer.covering(sequence + 1);
      const nodes = await readNodes(unit, inclusionProofCoordinates(sequence, checkpoint.size));
      return {
        record: recordMessage(row),
        hashes: inclusionProof(sequence, checkpoint.size, nodes),
        checkpoint: checkpoint.note,
      };
    },
    async getCheckpoint({ fromSize }, { unit }) {
      const checkpoint = await checkpointer.covering(1);
      const from = Number(fromSize);
      const answer = {
        checkpoint: checkpoint.note,
        verifierKey: checkpoint.verifierKey,
        size: BigInt(checkpoint.size),
      };
      if (from === 0) return answer;
      if (from > checkpoint.size) {
        throw new DomainError(
          "failed-precondition",
          `the log has ${checkpoint.size} records, not ${fromSize}`,
          {
            hint: "a log never shrinks: if you hold a checkpoint of that size, this log is not the one you knew",
          },
        );
      }
      const nodes = await readNodes(unit, consistencyProofCoordinates(from, checkpoint.size));
      return { ...answer, consistencyHashes: consistencyProof(from, checkpoint.size, nodes) };
    },
  };
}

/** Year 1 to 9999, as the contract's timestamps are (google.protobuf.Timestamp). */
function readTime(timestamp: Timestamp | undefined): Date | null {
  if (timestamp === undefined) return null;
  const date = timestampDate(timestamp);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1 || year > 9999) {
    throw new DomainError("invalid-argument", "a time is between the years 1 and 9999");
  }
  return date;
}

function recordMessage(row: RecordRow) {
  return {
    sequence: BigInt(row.sequence),
    leaf: row.leaf,
    personal: row.personal ?? "",
    salt: row.salt ?? new Uint8Array(),
    recordedAt: timestampFromDate(row.recordedAt),
  };
}
