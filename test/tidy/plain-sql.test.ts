import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// The services speak SQL that a PostgreSQL-compatible distributed database takes as well, and that goes through a pooler
// which gives each transaction another connection: nothing is kept in a session, and nothing is asked that one node alone
// can answer. What the launcher does as the superuser (roles, schemas, backups by COPY) is not looked at here.
const clone = join(import.meta.dirname, "../..");
const files = [
  ...globSync("services/*/{src,migrations}/**/*.{ts,sql}", { cwd: clone }),
  ...globSync("packages/{database,outbox,idempotency,row-ledger}/src/**/*.ts", { cwd: clone }),
].filter((path) => !path.endsWith(".test.ts"));

const forbidden: readonly [what: string, pattern: RegExp][] = [
  ["locks that belong to a session", /\bpg_(try_)?advisory_(lock|unlock)/i],
  ["notifications, which no pooler passes on", /\b(LISTEN|UNLISTEN|NOTIFY) [a-z_"]|\bpg_notify\b/],
  ["tables of a session", /\bCREATE (GLOBAL |LOCAL )?TEMP(ORARY)?\b/i],
  ["locks on whole tables", /\bLOCK TABLE\b/i],
  ["cursors", /\bDECLARE \w+ (NO SCROLL )?CURSOR\b/i],
  ["statements that outlive their transaction", /\bPREPARE \w+ AS\b|\bDEALLOCATE\b/],
  ["settings of a session", /\bSET (SESSION|LOCAL|search_path|role)\b|\bset_config\(/i],
  ["code in the database", /\bCREATE (OR REPLACE )?(FUNCTION|PROCEDURE|TRIGGER|RULE)\b|\bDO \$/i],
  ["extensions", /\bCREATE EXTENSION\b/i],
  ["where a row lies, and transactions' own numbers", /\b(ctid|xmin|xmax|txid_\w+|pg_current_xact_id)\b/],
  ["inheritance, and tables without a log", /\bINHERITS\b|\bUNLOGGED\b/],
  ["constraints that wait for the end", /\bDEFERRABLE\b/i],
  ["two-phase commit", /\bPREPARE TRANSACTION\b/i],
];

/** What some of those databases lack, and where it stands: a new use is a decision. */
const known: readonly { what: string; pattern: RegExp; files: readonly string[] }[] = [
  {
    what: "FOR UPDATE SKIP LOCKED: CockroachDB from 22.2, YugabyteDB from 2.14",
    pattern: /SKIP LOCKED/,
    files: [
      "packages/outbox/src/relay.ts",
      "services/rotation/src/store/schedules.ts",
      "services/storage/src/store/due-keys.ts",
      "services/storage/src/store/emergencies.ts",
    ],
  },
  {
    what: "locks by a name, for a transaction: CockroachDB takes them, and locks nothing",
    pattern: /pg_advisory_xact_lock/,
    files: [
      "services/distribution/src/handlers/authority.ts",
      "services/distribution/src/ocsp/responders.ts",
      "services/distribution/src/revocation-lists.ts",
    ],
  },
  {
    what: "FOR SHARE: CockroachDB from 23.2 (before that it is taken, and does nothing)",
    pattern: /FOR SHARE/,
    files: [
      "services/distribution/src/store/pre-shared-keys.ts",
      "services/storage/src/store/keyrings.ts",
      "services/storage/src/store/recovery-keys.ts",
    ],
  },
  {
    what: "several values of unnest at once: taken by both",
    pattern: /unnest\(\$1[^)]*\[\], \$2/,
    files: [
      "services/audit/src/store/records.ts",
      "services/audit/src/store/tree.ts",
      "services/distribution/src/store/group-members.ts",
      "services/storage/src/store/access-callers.ts",
      "services/storage/src/store/identity-strengths.ts",
      "services/storage/src/store/key-callers.ts",
    ],
  },
];

const textOf = (path: string): string =>
  // Without what is said about the SQL.
  readFileSync(join(clone, path), "utf8").replace(/^\s*(\/\/|\*|\/\*|--).*$/gm, "");

test("there is SQL to look at", () => {
  expect(files.filter((path) => path.endsWith(".sql")).length).toBeGreaterThan(10);
  expect(files.some((path) => /\bINSERT INTO\b/.test(textOf(path)))).toBe(true);
});

test.each(forbidden)("the services use no %s", (_, pattern) => {
  expect(files.filter((path) => pattern.test(textOf(path)))).toEqual([]);
});

test.each(known)("$what", ({ files: expected, pattern }) => {
  expect(files.filter((path) => pattern.test(textOf(path))).sort()).toEqual([...expected].sort());
});

/** CockroachDB refuses `GRANT UPDATE (column)`; there, grant the table, and what the columns are closed for is lost. */
test("grants by column are in migrations alone", () => {
  const granting = files.filter((path) => /GRANT [^;]*UPDATE \(/.test(textOf(path)));
  expect(granting.length).toBeGreaterThan(0);
  expect(granting.filter((path) => !path.endsWith(".sql"))).toEqual([]);
});
