import { randomBytes, randomUUID } from "node:crypto";
import pg from "pg";

/** The rows that a change of state writes, and nothing else: no identity, no decision, no seal, no lock. */
export class BareChanges {
  readonly #pool: pg.Pool;

  private constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  static async open(database: pg.PoolConfig, connections: number): Promise<BareChanges> {
    const pool = new pg.Pool({ ...database, max: connections });
    await pool.query(`CREATE TABLE IF NOT EXISTS public.bench_keys (LIKE storage.keys INCLUDING ALL)`);
    await pool.query(
      `CREATE TABLE IF NOT EXISTS public.bench_requests (LIKE storage.requests INCLUDING ALL)`,
    );
    await pool.query(`CREATE TABLE IF NOT EXISTS public.bench_outbox (LIKE storage.outbox INCLUDING ALL)`);
    return new BareChanges(pool);
  }

  /** One transaction: the key's row, the request's, the event's and the record's. */
  async insert(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      const id = randomUUID();
      await client.query("BEGIN");
      await client.query(
        `INSERT INTO public.bench_keys (id, keyring, name, purpose, algorithm, protection, exportable, state,
           current_version, owner, created_at, rotated_at, rotation_period_seconds, destroy_after_days, state_reason,
           details, revision, seal)
         VALUES ($1, 'bench', $2, 'mac', 'hmac-sha256', 'software', false, 'suspended', 3, '', now(), now(), 0, 30,
           'unspecified', $3, 2, $4)`,
        [id, id, randomBytes(120), randomBytes(33)],
      );
      await client.query(
        "INSERT INTO public.bench_requests (caller, request_id, request_hash, response, seal) VALUES ($1, $2, $3, $4, $5)",
        ["bench", id, randomBytes(32), randomBytes(250), randomBytes(33)],
      );
      for (const [kind, bytes] of [
        ["event", 300],
        ["audit", 700],
      ] as const) {
        await client.query(
          "INSERT INTO public.bench_outbox (sequence, id, kind, subject, payload) OVERRIDING SYSTEM VALUE VALUES (DEFAULT, $1, $2, $3, $4)",
          [randomUUID(), kind, "bench", randomBytes(bytes)],
        );
      }
      await client.query("COMMIT");
    } finally {
      client.release();
    }
  }

  async close(): Promise<void> {
    await this.#pool.query(
      "DROP TABLE IF EXISTS public.bench_keys, public.bench_requests, public.bench_outbox",
    );
    await this.#pool.end();
  }
}
