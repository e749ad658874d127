// What restore.ts runs where the services' users can reach the clone: everything but the stop before it and the
// start after it. Each step can be done again: a restore that was cut off is run again from its beginning.
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { chown, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { initialise, sharesLeft } from "@claviger/bootstrap";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { writeOwnedFile } from "@claviger/owned-files";
import type { Client } from "pg";
import { type Accounts, ensureAccounts } from "./accounts.ts";
import { type Opened, openedDirectory, type RestoreFiles, runRestoreStep } from "./backup/opened.ts";
import { keysThere, replaceRows } from "./backup/rows.ts";
import { requireSameVersion } from "./backup/tables.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { endLeftovers } from "./leftovers.ts";
import { readSettings } from "./local-settings.ts";
import { type Ports, portsOf } from "./ports.ts";
import { connectAsSuperuser, preparePostgresql } from "./postgresql.ts";
import { databaseName, provisionDatabase } from "./provision-database.ts";
import { beginRestoring, endRestoring } from "./restoring.ts";
import { tokenEnvironment } from "./services.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    state: { type: "string" },
    "known-as": { type: "string" },
    step: { type: "string" },
    replace: { type: "boolean" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(flags.state ?? "", { knownAs: flags["known-as"] });
const files = JSON.parse(process.env.CLAVIGER_RESTORE_FILES ?? "{}") as RestoreFiles;
const postgresqlStopMilliseconds = 8_000;
const notice = (message: string): void => {
  if (!flags.json) console.error(`claviger: ${message}`);
};

try {
  const accounts = await ensureAccounts();
  if (flags.step === "open") await open(accounts);
  else await restore(accounts);
} catch (cause) {
  // What was opened stays for no longer than it is wanted; a restore that has begun opens it again.
  await rm(openedDirectory(layout), { recursive: true, force: true });
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}

/** Changes nothing but the directory that the backup is opened into. */
async function open(accounts: Accounts): Promise<void> {
  const settings = await settingsOf(layout);
  notice("opening the backup, and checking all of it");
  const opened = await runRestoreStep<Opened>("open", { layout, clone, account: accounts.generator, files });
  if (opened.trustDomain !== settings.trustDomain) {
    throw new DomainError(
      "failed-precondition",
      `the backup is of trust domain ${opened.trustDomain}, and this installation's is ${settings.trustDomain}`,
      {
        hint: `npm run reset, then CLAVIGER_TRUST_DOMAIN=${opened.trustDomain} npm start, then restore again`,
      },
    );
  }
  requireEndings(opened);
  const rows = opened.sections.reduce((sum, section) => sum + section.rows, 0);
  notice(`it is whole: ${rows.toLocaleString("en")} rows, made at ${opened.createdAt}`);
  const running = runningInstallation(layout);
  if (running !== undefined) {
    // What is refused is better refused before anything is stopped.
    const port = portsOf(running.basePort).postgresql;
    await requireRestorable(await connectAsSuperuser(layout, port, databaseName), opened);
  }
  await writeFile(join(openedDirectory(layout), "manifest.json"), JSON.stringify(opened), { mode: 0o600 });
}

async function restore(accounts: Accounts): Promise<void> {
  const settings = await settingsOf(layout);
  const ports = portsOf(settings.basePort);
  const directory = openedDirectory(layout);
  const ended = await endLeftovers(layout);
  if (ended.length > 0) notice(`ended what an earlier restore had left running: ${ended.join(", ")}`);
  const opened = JSON.parse(await readFile(join(directory, "manifest.json"), "utf8")) as Opened;
  const postgresql = await preparePostgresql({
    layout,
    account: accounts.postgresql,
    port: ports.postgresql,
    onChange: () => undefined,
    onNotice: notice,
  });
  await postgresql.process.start();
  try {
    await provisionDatabase({ layout, accounts, port: ports.postgresql, clone, postgresql });
    await requireRestorable(await postgresql.connectAsSuperuser(databaseName), opened);
    beginRestoring(layout, opened);
    notice("filling the HSM's token");
    await runRestoreStep("token", { layout, clone, account: accounts.generator, files });
    const database = await postgresql.connectAsSuperuser(databaseName);
    await replaceRows(database, directory, notice).finally(() => database.end());
    await finish(accounts, ports, settings.trustDomain, opened);
  } finally {
    await postgresql.process.stop(postgresqlStopMilliseconds);
  }
  await rm(directory, { recursive: true });
  endRestoring(layout);
  notice(`restored backup ${opened.id}`);
}

/** A file that somebody gave is to be applied; what the running installation says may be of another one. */
function requireEndings({ endings }: Opened): void {
  for (const [at, { path, given }] of (files.endings ?? []).entries()) {
    const { count, takenAt, why } = endings[at]!;
    if (why === "") {
      const from = given ? path : "this installation itself";
      notice(`${from} knows ${count.toLocaleString("en")} endings until ${takenAt}: they are applied`);
    } else if (given) {
      throw new DomainError("integrity", `${path}: ${why}`, {
        hint: "give the file as `claviger backup endings` wrote it, or leave --since out",
      });
    }
  }
}

/** Before anything is changed. Ends the connection. */
async function requireRestorable(database: Client, opened: Opened): Promise<void> {
  try {
    await requireSameVersion(database, opened);
    const there = await keysThere(database);
    if (there > 0 && flags.replace !== true && !existsSync(layout.restoring)) {
      throw new DomainError(
        "failed-precondition",
        `this installation has ${there} keys of its own, and a restore ends them all`,
        { hint: "restore into a new installation; or, to give these up for good, add --replace" },
      );
    }
  } finally {
    await database.end();
  }
}

/** Certificates of a CA that is there again, a bus without what the other database had sent, and a note for storage. */
async function finish(accounts: Accounts, ports: Ports, trustDomain: string, opened: Opened): Promise<void> {
  await giveEndings(accounts, opened);
  for (const service of ["storage", "distribution", "rotation"] as const) {
    await writeOwnedFile(
      join(layout.serviceDirectory(service), "restored.json"),
      JSON.stringify({ backup: opened.id, madeAt: opened.createdAt }),
      { mode: 0o600, account: accounts[service] },
    );
  }
  await forgetVoidShares(opened.recoveryKey);
  await rm(layout.nats.store, { recursive: true, force: true });
  for (const name of ["audit.vkey", "audit-checkpoint.txt"]) {
    await rm(join(layout.trust.directory, name), { force: true });
  }
  await initialise({
    layout,
    accounts,
    ports,
    trustDomain,
    clone,
    node: process.execPath,
    tokenEnvironment: tokenEnvironment(layout),
    onNotice: notice,
    renew: true,
  });
}

/** To storage, which knows them by their seals; one file after another. */
async function giveEndings(accounts: Accounts, { endings }: Opened): Promise<void> {
  const target = join(layout.serviceDirectory("storage"), "endings.jsonl");
  await rm(target, { force: true });
  const good = (files.endings ?? []).filter((_, at) => endings[at]?.why === "");
  if (good.length === 0) return;
  const part = join(layout.stateDirectory, "endings.part");
  await rm(part, { force: true });
  for (const { path } of good) {
    await pipeline(createReadStream(path), createWriteStream(part, { mode: 0o600, flags: "a", flush: true }));
  }
  const account = accounts.storage;
  if (account !== undefined) await chown(part, account.uid, account.gid);
  await rename(part, target);
}

/** Those of the recovery key that this installation's own ceremony made: it opens nothing any more. */
async function forgetVoidShares(recoveryKey: string): Promise<void> {
  for (const name of await sharesLeft(layout.recoveryDirectory)) {
    const path = join(layout.recoveryDirectory, name);
    if (!(await readFile(path, "utf8")).includes(`recovery-key: ${recoveryKey}`)) await rm(path);
  }
}

async function settingsOf(layout: Layout) {
  const settings = await readSettings(layout);
  if (settings !== undefined && existsSync(join(layout.serviceDirectory("generator"), "ceremony.json"))) {
    return settings;
  }
  throw new DomainError("failed-precondition", "there is no installation here to restore into", {
    hint: "npm start -- --detach makes an empty one, with a token of its own",
  });
}
