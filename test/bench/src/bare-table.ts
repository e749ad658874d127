import { randomBytes, randomUUID } from "node:crypto";
import pg from "pg";

const connections = 8;

/** One insert a commit, into a table with the columns that a key's rows have in all. */
export class BareTable {
  readonly #pool: pg.Pool;

  private constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  static async open(database: {
    host: string;
    port: number;
    user: string;
    password: string;
  }): Promise<BareTable> {
    const pool = new pg.Pool({ ...database, database: "postgres", max: connections });
    await pool.query(`CREATE TABLE IF NOT EXISTS bench_keys (
      id uuid PRIMARY KEY, name text UNIQUE NOT NULL, algorithm text NOT NULL, state text NOT NULL,
      version integer NOT NULL, material bytea NOT NULL, seal bytea NOT NULL, made_at timestamptz NOT NULL)`);
    return new BareTable(pool);
  }

  async insert(material: Buffer): Promise<void> {
    const id = randomUUID();
    await this.#pool.query("INSERT INTO bench_keys VALUES ($1, $2, $3, $4, $5, $6, $7, now())", [
      id,
      `bench/${id}`,
      "aes-256-gcm",
      "active",
      1,
      material,
      randomBytes(32),
    ]);
  }

  async close(): Promise<void> {
    await this.#pool.query("DROP TABLE IF EXISTS bench_keys");
    await this.#pool.end();
  }
}
