import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { SpoolAnswer, SpoolCommand, SpoolRow } from "./spool-protocol.ts";

/** The only thread that touches the spool's file. Synchronous on purpose: an answer means it is on disk. */
const { path } = workerData as { path: string };
const database = new DatabaseSync(path);
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS spool (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    published_at INTEGER
  );
`);
const insert = database.prepare("INSERT OR IGNORE INTO spool (id, payload) VALUES (?, ?)");
const pending = database.prepare(
  "SELECT id, payload FROM spool WHERE published_at IS NULL OR published_at < ? ORDER BY sequence LIMIT ?",
);
const markPublished = database.prepare("UPDATE spool SET published_at = ? WHERE id = ?");
const remove = database.prepare("DELETE FROM spool WHERE id = ?");
const count = database.prepare("SELECT count(*) AS count FROM spool");

function inTransaction(work: () => void): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    work();
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

function carryOut(command: SpoolCommand): { rows?: SpoolRow[]; count?: number } {
  switch (command.do) {
    case "keep":
      inTransaction(() => {
        for (const row of command.rows) insert.run(row.id, row.payload);
      });
      return {};
    case "pending":
      return { rows: pending.all(command.publishedBefore, command.limit) as unknown as SpoolRow[] };
    case "published":
      inTransaction(() => {
        for (const id of command.ids) markPublished.run(command.at, id);
      });
      return {};
    case "forget":
      inTransaction(() => {
        for (const id of command.ids) remove.run(id);
      });
      return {};
    case "count":
      return { count: Number((count.get() as { count: number }).count) };
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
