import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { NumberedRecords, SpoolAnswer, SpoolCommand } from "./spool-protocol.ts";

/** The only thread that touches the spool's file. Synchronous on purpose: an answer means it is on disk. */
const { path } = workerData as { path: string };
const database = new DatabaseSync(path);
database.exec(`
  PRAGMA journal_mode = WAL;
  CREATE TABLE IF NOT EXISTS kept (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    encoded BLOB NOT NULL,
    records INTEGER NOT NULL
  );
`);
const insert = database.prepare("INSERT INTO kept (id, encoded, records) VALUES (?, ?, ?)");
const read = database.prepare(
  "SELECT sequence, id, encoded, records FROM kept WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
);
const remove = database.prepare("DELETE FROM kept WHERE sequence BETWEEN ? AND ? RETURNING records");
const count = database.prepare("SELECT coalesce(sum(records), 0) AS records FROM kept");

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
        for (const { encoded, id, records } of command.kept) insert.run(id, encoded, records);
      });
      return {};
    case "read":
      return {
        kept: read.all(command.after, command.upTo, command.limit) as unknown as NumberedRecords[],
      };
    case "forget": {
      let records = 0;
      inTransaction("NORMAL", () => {
        for (const { from, to } of command.ranges) {
          for (const row of remove.all(from, to) as unknown as Counted[]) records += row.records;
        }
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
  parentPort!.postMessage(answer, answer.kept?.map(({ encoded }) => encoded.buffer) ?? []);
  if (command.do === "close") parentPort!.close();
});
