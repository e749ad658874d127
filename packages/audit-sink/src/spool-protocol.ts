export interface SpoolRow {
  id: string;
  payload: Uint8Array;
}

export type SpoolCommand =
  | { do: "keep"; rows: SpoolRow[] }
  | { do: "pending"; publishedBefore: number; limit: number }
  | { do: "published"; ids: string[]; at: number }
  | { do: "forget"; ids: string[] }
  | { do: "count" }
  | { do: "close" };

export interface SpoolAnswer {
  number: number;
  error?: string;
  rows?: SpoolRow[];
  count?: number;
}
