import { DomainError, isDomainError } from "@claviger/domain-error";
import pg from "pg";

export interface DatabaseOptions {
  /** A host name, or the directory of a local socket. */
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
  connectionsMax?: number;
  statementTimeoutMilliseconds?: number;
  onConnectionLost?: (error: Error) => void;
}

/** One transaction. Every statement of a request goes through the same one. */
export interface Transaction {
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Runs once the transaction is committed; never where it is rolled back. */
  afterCommit(action: () => void): void;
}

export interface Database extends AsyncDisposable {
  /**
   * Runs `work` in one transaction and commits it. Where the database asks for it (serialization
   * failure, deadlock), the whole of `work` runs again, a few times at most.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** The server's version. @throws DomainError `unavailable` */
  version(): Promise<string>;
}

const attemptsMax = 5;
/** SQLSTATE 40001 serialization_failure, 40P01 deadlock_detected. */
const retriedStates = new Set(["40001", "40P01"]);
const pauseMilliseconds = 10;
const connectTimeoutMilliseconds = 3000;
/** pg-pool's words where every connection is in use, and none came free in time. */
const poolBusy = "timeout exceeded when trying to connect";

export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    host: options.host,
    port: options.port,
    database: options.database,
    user: options.user,
    password: options.password,
    max: options.connectionsMax ?? 16,
    connectionTimeoutMillis: connectTimeoutMilliseconds,
    idleTimeoutMillis: 30_000,
    statement_timeout: options.statementTimeoutMilliseconds ?? 10_000,
    idle_in_transaction_session_timeout: 30_000,
    application_name: `claviger-${options.user}`,
  });
  // Without a listener, a connection that breaks while idle would end the process.
  pool.on("error", (error) => options.onConnectionLost?.(error));
  return {
    transaction: (work) => runWithRetries(pool, work),
    async version() {
      const client = await connect(pool);
      try {
        const result = await client.query<{ server_version: string }>("SHOW server_version");
        return result.rows[0]?.server_version ?? "unknown";
      } catch (error) {
        throw translate(error);
      } finally {
        client.release();
      }
    },
    async [Symbol.asyncDispose]() {
      await pool.end();
    },
  };
}

async function runWithRetries<T>(pool: pg.Pool, work: (transaction: Transaction) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runOnce(pool, work);
    } catch (error) {
      const state = (error as { code?: unknown }).code;
      const again = attempt < attemptsMax && typeof state === "string" && retriedStates.has(state);
      if (!again) throw translate(error);
      // Those who met do not meet again at once.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * pauseMilliseconds * attempt));
    }
  }
}

async function runOnce<T>(pool: pg.Pool, work: (transaction: Transaction) => Promise<T>): Promise<T> {
  const client = await connect(pool);
  const afterCommit: (() => void)[] = [];
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  try {
    await client.query("BEGIN");
    const result = await work({
      async query<Row extends object>(sql: string, values: readonly unknown[] = []) {
        return (await client.query<Row>(sql, [...values])).rows;
      },
      afterCommit: (action) => afterCommit.push(action),
    });
    await client.query("COMMIT");
    for (const action of afterCommit) action();
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw error;
  } finally {
    client.off("error", onError);
    client.release(broken);
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw translate(error);
  }
}

/** Database trouble in our own terms. What is our own bug (bad SQL, a violated constraint) stays what it is. */
function translate(error: unknown): unknown {
  if (isDomainError(error)) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (message === poolBusy || code === "53300") {
    return new DomainError("unavailable", "the database has more work than it can do", {
      hint: "try again shortly",
      cause: error,
    });
  }
  const lost =
    code?.startsWith("08") ||
    code?.startsWith("57P") ||
    ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOENT", "ETIMEDOUT"].includes(code ?? "") ||
    /terminated|Connection ended|not queryable/i.test(message ?? "");
  if (lost) {
    return new DomainError("unavailable", "the database cannot be reached", {
      hint: "try again shortly; `claviger status` shows when PostgreSQL is back",
      cause: error,
    });
  }
  // 22021 character_not_in_repertoire, 22003 numeric_value_out_of_range: what a caller sent, not a bug.
  if (code === "22021" || code === "22003") {
    return new DomainError(
      "invalid-argument",
      "the request holds a character or a number that cannot be stored",
      {
        cause: error,
      },
    );
  }
  if (code === "57014") {
    return new DomainError("deadline-exceeded", "the database took too long", { cause: error });
  }
  if (code !== undefined && retriedStates.has(code)) {
    return new DomainError("aborted", "too many changes to the same rows at once", {
      hint: "try again",
      cause: error,
    });
  }
  return error;
}
