import { shortIdentity, table } from "./output.ts";
import type { TimestampLike } from "./plain.ts";

type JsonObject = Record<string, unknown>;

export interface RecordMessage {
  sequence: bigint;
  leaf: string;
  personal: string;
  recordedAt?: TimestampLike | undefined;
}

/** A record with its two JSON texts read: the leaf is under `record`, as in a proof file. */
export interface RecordView {
  sequence: number;
  recordedAt: TimestampLike | undefined;
  record: JsonObject;
  /** Null once it was erased. */
  personal: JsonObject | null;
}

export function recordView({ sequence, leaf, personal, recordedAt }: RecordMessage): RecordView {
  return {
    sequence: Number(sequence),
    recordedAt,
    record: JSON.parse(leaf) as JsonObject,
    personal: personal === "" ? null : (JSON.parse(personal) as JsonObject),
  };
}

export function recordsTable(records: readonly RecordView[]): string {
  const rows = records.map(({ sequence, record, personal }) => [
    sequence,
    textOf(record.time).replace(/\.\d+Z$/, "Z"),
    personal === null ? "(erased)" : shortIdentity(textOf(personal.actor)),
    textOf(record.method).replace(/^.*\//, ""),
    textOf(record.resource),
    record.outcome === "allowed" ? "allowed" : `${textOf(record.outcome)}: ${textOf(record.errorKind)}`,
  ]);
  return table(["SEQUENCE", "TIME", "WHO", "METHOD", "ON", "OUTCOME"], rows, "no such records");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
