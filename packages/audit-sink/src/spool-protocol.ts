/** Records that were kept in one commit, encoded as a bundle has them. */
export interface KeptRecords {
  /** Of the first record. */
  id: string;
  encoded: Uint8Array<ArrayBuffer>;
  /** How many records that is. */
  records: number;
}

/** In the order in which they were kept. */
export type NumberedRecords = KeptRecords & { sequence: number };

/** Both ends are in it. */
export interface SequenceRange {
  from: number;
  to: number;
}

export type SpoolCommand =
  | { do: "keep"; kept: KeptRecords[] }
  /** Those with `after` < sequence ≤ `upTo`. */
  | { do: "read"; after: number; upTo: number; limit: number }
  | { do: "forget"; ranges: SequenceRange[] }
  | { do: "count" }
  | { do: "close" };

export interface SpoolAnswer {
  number: number;
  error?: string;
  kept?: NumberedRecords[];
  /** Records: those that were forgotten, or all. */
  records?: number;
}
