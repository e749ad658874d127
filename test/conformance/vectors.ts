import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname, "../..");
const directory = resolve(
  process.env.CLAVIGER_VECTORS ?? join(repository, "../shared/vectors"),
  "wycheproof",
);

/** C2SP/wycheproof, testvectors_v1. */
export interface WycheproofFile<Group> {
  algorithm: string;
  numberOfTests: number;
  testGroups: Group[];
}

export interface WycheproofCase {
  tcId: number;
  comment: string;
  flags: string[];
  result: "valid" | "invalid" | "acceptable";
}

/** Undefined where this machine has no copy: the repository does not carry them. */
export function readWycheproof<Group>(file: string): WycheproofFile<Group> | undefined {
  const path = join(directory, file);
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as WycheproofFile<Group>;
  console.warn(`skipped: no copy of wycheproof's ${file} (see CLAVIGER_VECTORS)`);
  return undefined;
}

export function fromHex(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}
