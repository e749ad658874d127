// What backup-drill.ts runs where the services' users can reach the clone: everything but the calls to the services.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeSoftHsmConfiguration } from "@claviger/bootstrap";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { ensureDirectory } from "@claviger/owned-files";
import { type Accounts, ensureAccounts } from "./accounts.ts";
import { writeKeyRows } from "./backup/key-rows.ts";
import { type Opened, type RestoreFiles, runRestoreStep } from "./backup/opened.ts";
import { replaceRows } from "./backup/rows.ts";
import { scratchLayout, sweepScratch, takeScratch } from "./backup/scratch.ts";
import { checkSealedRows } from "./backup/sealed-rows.ts";
import { requireSameVersion } from "./backup/tables.ts";
import { runGeneratorProgram } from "./generator-program.ts";
import { layoutOf } from "./layout.ts";
import { readSettings } from "./local-settings.ts";
import { type Postgresql, preparePostgresql } from "./postgresql.ts";
import { databaseName, provisionDatabase } from "./provision-database.ts";
import { ensureStateDirectories } from "./state-directories.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    state: { type: "string" },
    "known-as": { type: "string" },
    drill: { type: "string" },
    every: { type: "boolean" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(flags.state ?? "", { knownAs: flags["known-as"] });
const scratch = scratchLayout(layout, flags["known-as"] ?? layout.stateDirectory);
const files = JSON.parse(process.env.CLAVIGER_RESTORE_FILES ?? "{}") as RestoreFiles;
/** On a socket of its own, where no other server can be. */
const port = 5432;
const postgresqlStopMilliseconds = 5_000;
const lookMilliseconds = 250;
const interruptedCode = 130;
/** Of keys that are alike; more prove nothing more, but that nobody forgot about one. */
const usesPerGroup = flags.every ? 1_000_000_000 : 3;
const notice = (message: string): void => {
  if (!flags.json) console.error(`claviger: ${message}`);
};

let postgresql: Postgresql | undefined;
let ending: Promise<void> | undefined;

if (await takeScratch(scratch)) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && interrupt(), lookMilliseconds).unref();
  try {
    const answer = await drill();
    await end();
    console.log(JSON.stringify(answer));
  } catch (cause) {
    // Where it was interrupted, what fails now is of no interest.
    const interrupted = ending !== undefined;
    await end();
    if (!interrupted) {
      printError(cause, flags);
      process.exitCode = exitCodeOf(cause);
    }
  }
} else {
  const refusal = new DomainError("failed-precondition", "a drill runs already", {
    hint: "wait until it has ended",
  });
  printError(refusal, flags);
  process.exitCode = exitCodeOf(refusal);
}

function interrupt(): void {
  notice("interrupted: clearing away what the drill made");
  void end().finally(() => process.exit(interruptedCode));
}

/** Leaves nothing, whatever has happened. What a kill leaves, the next drill, start or stop takes away. */
function end(): Promise<void> {
  ending ??= (async () => {
    await postgresql?.process.stop(postgresqlStopMilliseconds).catch(() => undefined);
    await sweepScratch(scratch);
  })();
  return ending;
}

async function drill(): Promise<{ report: string; mac: string }> {
  const begunAt = new Date().toISOString();
  const accounts = await ensureAccounts();
  const settings = await readSettings(layout);
  await ensureStateDirectories(scratch, accounts);
  notice("opening the backup, and checking all of it");
  const generator = { layout: scratch, clone, account: accounts.generator };
  const opened = await runRestoreStep<Opened>("open", { ...generator, files });
  if (opened.trustDomain !== settings?.trustDomain) {
    throw new DomainError("failed-precondition", `the backup is of trust domain ${opened.trustDomain}`, {
      hint: "try it where it was made; or put it here for good: claviger backup restore",
    });
  }
  const rows = opened.sections.reduce((sum, section) => sum + section.rows, 0);
  notice(`it is whole: ${rows.toLocaleString("en")} rows, made at ${opened.createdAt}`);
  const keyRows = await fillDatabase(accounts, opened);
  await runDrillStep(accounts, "seal-keys", {});
  notice("checking the seals of the rows");
  const checked = await checkSealedRows({ layout: scratch, clone, accounts, port });
  const about = {
    drill: flags.drill,
    begunAt,
    rows,
    seals: checked.map(({ findings, rows: sealed, service }) => ({ service, rows: sealed, findings })),
    failures: checked.flatMap(({ kept }) => kept),
  };
  return runDrillStep(accounts, "prove", { about, input: keyRows });
}

/** Returns the file with the rows of keys. */
async function fillDatabase(accounts: Accounts, opened: Opened): Promise<string> {
  notice("filling a database of the drill's own");
  postgresql = await preparePostgresql({
    layout: scratch,
    account: accounts.postgresql,
    port,
    onChange: () => undefined,
    onNotice: notice,
  });
  await postgresql.process.start();
  await provisionDatabase({ layout: scratch, accounts, port, clone, postgresql });
  const database = await postgresql.connectAsSuperuser(databaseName);
  try {
    await requireSameVersion(database, opened);
    await replaceRows(database, join(scratch.serviceDirectory("generator"), "restore"), notice);
    const keyRows = join(scratch.stateDirectory, "keys.rows");
    await writeKeyRows(database, keyRows);
    return keyRows;
  } finally {
    await database.end();
  }
}

async function runDrillStep<Answer>(
  accounts: Accounts,
  step: "seal-keys" | "prove",
  { about, input }: { about?: object; input?: string },
): Promise<Answer> {
  const directory = scratch.serviceDirectory("generator");
  if (step === "prove") {
    const account = accounts.generator;
    await ensureDirectory(join(directory, "token"), { mode: 0o700, account });
    await writeSoftHsmConfiguration(directory, account);
  }
  return runGeneratorProgram<Answer>({
    layout: scratch,
    clone,
    account: accounts.generator,
    program: "services/generator/src/ceremony/drill.ts",
    input,
    shares: files.shares,
    environment: {
      CLAVIGER_DRILL_STEP: step,
      CLAVIGER_RESTORE_SHARES: String(files.shares.length),
      CLAVIGER_RUNNING_DIRECTORY: layout.serviceDirectory("generator"),
      CLAVIGER_DRILL_USES: String(usesPerGroup),
      ...(about === undefined ? {} : { CLAVIGER_DRILL_ABOUT: JSON.stringify(about) }),
    },
    onProgress: notice,
  });
}
