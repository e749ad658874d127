import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { NumberedBundle, SpoolAnswer, SpoolCommand } from "./spool-protocol.ts";

/** The only thread that touches the spool's file. Synchronous on purpose: an answer means it is on disk. */
const { path } = workerData as { path: string };
const database = new DatabaseSync(path);
database.exec(`
  PRAGMA journal_mode = WAL;
  CREATE TABLE IF NOT EXISTS bundles (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    records INTEGER NOT NULL
  );
`);
const insert = database.prepare("INSERT OR IGNORE INTO bundles (id, payload, records) VALUES (?, ?, ?)");
const read = database.prepare(
  "SELECT sequence, id, payload, records FROM bundles WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
);
const remove = database.prepare("DELETE FROM bundles WHERE id = ? RETURNING records");
const count = database.prepare("SELECT coalesce(sum(records), 0) AS records FROM bundles");

interface Counted {
  records: number;
}

/** FULL waits for the disk. What is lost of NORMAL in a power cut is done again: the log takes a record once. */
function inTransaction(synchronous: "FULL" | "NORMAL", work: () => void): void {
  database.exec(`PRAGMA synchronous = ${synchronous}; BEGIN IMMEDIATE`);
  try {
    work();
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

function carryOut(command: SpoolCommand): Omit<SpoolAnswer, "number" | "error"> {
  switch (command.do) {
    case "keep":
      inTransaction("FULL", () => {
        for (const { id, payload, records } of command.bundles) insert.run(id, payload, records);
      });
      return {};
    case "read": {
      const bundles = read.all(command.after, command.upTo, command.limit) as unknown as NumberedBundle[];
      return { bundles };
    }
    case "forget": {
      let records = 0;
      inTransaction("NORMAL", () => {
        for (const id of command.ids) records += (remove.get(id) as Counted | undefined)?.records ?? 0;
      });
      return { records };
    }
    case "count":
      return { records: (count.get() as unknown as Counted).records };
    case "close":
      database.close();
      return {};
  }
}

parentPort!.on("message", ({ number, command }: { number: number; command: SpoolCommand }) => {
  let answer: SpoolAnswer;
  try {
    answer = { number, ...carryOut(command) };
  } catch (error) {
    answer = { number, error: (error as Error).message };
  }
  parentPort!.postMessage(answer);
  if (command.do === "close") parentPort!.close();
});
