/** A bundle of audit records, as it goes to the bus. */
export interface SpooledBundle {
  id: string;
  payload: Uint8Array;
  /** How many records are in it. */
  records: number;
}

/** In the order in which they were kept. */
export type NumberedBundle = SpooledBundle & { sequence: number };

export type SpoolCommand =
  | { do: "keep"; bundles: SpooledBundle[] }
  /** Those with `after` < sequence ≤ `upTo`. */
  | { do: "read"; after: number; upTo: number; limit: number }
  | { do: "forget"; ids: string[] }
  | { do: "count" }
  | { do: "close" };

export interface SpoolAnswer {
  number: number;
  error?: string;
  bundles?: NumberedBundle[];
  /** Records: those that were forgotten, or all. */
  records?: number;
}
