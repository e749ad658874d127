import { DatabaseSync } from "node:sqlite";
import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import { placeOf, type SealedTable } from "./sealed-table.ts";

/** What the ledger knows of a row. */
export interface Known {
  revision: number;
  /** Claviger took it away at that moment. */
  gone: boolean;
}

export interface LedgerPlace {
  place: string;
  /** What people call the row. */
  label: string;
}

interface Note extends Known {
  table: string;
  place: string;
  label: string | undefined;
}

/**
 * The newest revision of every sealed row that this replica wrote or saw, in a file outside of PostgreSQL: whoever can
 * write the database can put back a row as it was, seal and all, but cannot make this forget that it went on since.
 *
 * A row is noted once its transaction is committed. It is lost without harm where the process ends in between: the
 * next scan reads the row, which is newer.
 */
export class Ledger implements Disposable {
  readonly #database: DatabaseSync;
  readonly #numbers = new Map<string, number>();
  readonly #tables: ReadonlyMap<string, SealedTable>;
  readonly #onTrouble: (what: string) => void;
  readonly #statements;

  constructor(path: string, tables: readonly SealedTable[], onTrouble: (what: string) => void) {
    this.#onTrouble = onTrouble;
    this.#tables = new Map(tables.map((table) => [table.name, table]));
    this.#database = new DatabaseSync(path);
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      CREATE TABLE IF NOT EXISTS sources (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
      CREATE TABLE IF NOT EXISTS places (
        source INTEGER NOT NULL, place TEXT NOT NULL, revision INTEGER NOT NULL, gone INTEGER NOT NULL, label TEXT,
        PRIMARY KEY (source, place)
      ) WITHOUT ROWID;
    `);
    const addSource = this.#database.prepare("INSERT OR IGNORE INTO sources (name) VALUES (?)");
    for (const { name } of tables) addSource.run(name);
    for (const row of this.#database.prepare("SELECT number, name FROM sources").all()) {
      this.#numbers.set(row.name as string, row.number as number);
    }
    this.#statements = {
      find: this.#database.prepare("SELECT revision, gone FROM places WHERE source = ? AND place = ?"),
      // The newest stays: notes of two transactions may come in another order than they were committed in.
      note: this.#database.prepare(
        `INSERT INTO places (source, place, revision, gone, label) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET revision = excluded.revision, gone = excluded.gone
         WHERE excluded.revision > revision OR (excluded.revision = revision AND excluded.gone > gone)`,
      ),
      page: this.#database.prepare(
        "SELECT place, label FROM places WHERE source = ? AND place > ? AND gone = 0 ORDER BY place LIMIT ?",
      ),
      any: this.#database.prepare("SELECT 1 AS there FROM places WHERE source = ? LIMIT 1"),
    };
  }

  /** A sealer for one transaction, whose rows are noted once it is committed. */
  noting(tx: Transaction, sealer: RowSealer): RowSealer {
    const notes: Note[] = [];
    return {
      check: sealer.check,
      seal: (name, row) => {
        const table = this.#tables.get(name);
        if (table !== undefined && table.unledgered !== true) {
          if (notes.length === 0) tx.afterCommit(() => this.#write(notes));
          notes.push(noteOf(table, row));
          if (name === "withdrawals") notes.push(withdrawnBy(row));
        }
        return sealer.seal(name, row);
      },
    };
  }

  /** A genuine row that a scan read: what is newer is learned. */
  learn(table: SealedTable, rows: readonly object[]): void {
    if (table.unledgered === true) return;
    const notes: Note[] = [];
    for (const row of rows) {
      const note = noteOf(table, row);
      const known = this.find(table.name, note.place);
      if (known === undefined || known.revision < note.revision) notes.push(note);
      if (table.name === "withdrawals") notes.push(withdrawnBy(row));
    }
    if (notes.length > 0) this.#write(notes);
  }

  find(table: string, place: string): Known | undefined {
    const row = this.#statements.find.get(this.#numbers.get(table)!, place);
    return row === undefined ? undefined : { revision: row.revision as number, gone: row.gone === 1 };
  }

  /** As the end of a sentence; undefined where the row is as new as this knows it. */
  whyOld(table: SealedTable, row: object): string | undefined {
    const known = this.find(table.name, placeOf(table, row));
    if (known === undefined) return undefined;
    const revision = table.revision(row);
    if (known.gone && revision <= known.revision) {
      return `was taken away at ${new Date(known.revision).toISOString()}, and is there again`;
    }
    if (table.changes === true && revision < known.revision) {
      return `is an older one put back: it was at revision ${known.revision}, and is at ${revision}`;
    }
    return undefined;
  }

  /** Places that must be there, after one of them; the first are after "". */
  placesAfter(table: string, after: string, limit: number): LedgerPlace[] {
    const rows = this.#statements.page.all(this.#numbers.get(table)!, after, limit);
    return rows.map(({ label, place }) => {
      const text = place as string;
      return { place: text, label: (label as string | null) ?? text.replaceAll("\n", ", ") };
    });
  }

  /** All places that must be there, of a table that has few. */
  places(table: string, limit: number): string[] {
    return this.placesAfter(table, "", limit).map(({ place }) => place);
  }

  knowsAny(table: string): boolean {
    return this.#statements.any.get(this.#numbers.get(table)!) !== undefined;
  }

  /** The database is another one from now on: a backup was put into its place. */
  forget(): void {
    this.#database.exec("DELETE FROM places");
  }

  /** What cannot be noted is learned by the next scan: the caller's work is done, and not undone for it. */
  #write(notes: readonly Note[]): void {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        for (const { gone, label, place, revision, table } of notes) {
          this.#statements.note.run(this.#numbers.get(table)!, place, revision, gone ? 1 : 0, label ?? null);
        }
        this.#database.exec("COMMIT");
      } catch (error) {
        this.#database.exec("ROLLBACK");
        throw error;
      }
    } catch (error) {
      this.#onTrouble(`the ledger of rows waits: ${(error as Error).message}`);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function noteOf(table: SealedTable, row: object): Note {
  return {
    table: table.name,
    place: placeOf(table, row),
    revision: table.revision(row),
    gone: false,
    label: table.label?.(row),
  };
}

function withdrawnBy(row: object): Note {
  const { place, source, withdrawnAt } = row as { source: string; place: string; withdrawnAt: Date };
  return { table: source, place, revision: withdrawnAt.getTime(), gone: true, label: undefined };
}
