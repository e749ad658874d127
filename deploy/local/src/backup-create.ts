// claviger backup create: one encrypted file with everything that this host's services keep.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { rememberCopy } from "@claviger/backup";
import { createClaviger } from "@claviger/client";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { type CreatedBackup, createBackup } from "./backup/create.ts";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { portsOf } from "./ports.ts";
import { connectAsSuperuser } from "./postgresql.ts";
import { databaseName } from "./provision-database.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    out: { type: "string" },
    "keep-days": { type: "string" },
    config: { type: "string" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

try {
  const created = await create(resolve(flags.out ?? "claviger.backup"));
  if (flags.json) console.log(JSON.stringify(created));
  else console.log(text(created));
} catch (cause) {
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}

async function create(file: string): Promise<CreatedBackup> {
  const keepDays = Number(flags["keep-days"] ?? 0);
  if (!Number.isInteger(keepDays) || keepDays < 0 || keepDays > 3650 || flags["keep-days"] === "0") {
    throw new DomainError(
      "invalid-argument",
      `--keep-days is ${flags["keep-days"]}, and must be from 1 to 3650`,
    );
  }
  const running = runningInstallation(layout);
  if (running === undefined) {
    throw new DomainError("failed-precondition", "no installation runs on this host", {
      hint: "npm start, then claviger backup create again",
    });
  }
  if (existsSync(file)) {
    throw new DomainError("failed-precondition", `${file} is there already`, {
      hint: "name another file: a backup never takes the place of another",
    });
  }
  using claviger = createClaviger({ config: flags.config ?? layout.configurationFile });
  const database = await connectAsSuperuser(layout, portsOf(running.basePort).postgresql, databaseName);
  try {
    const onProgress = (message: string): void => {
      if (!flags.json) console.error(`claviger: ${message}`);
    };
    const created = await createBackup({ claviger, database, file, keepDays, onProgress });
    rememberCopy(layout.stateDirectory, { id: created.id, path: file, expiresAt: created.expiresAt });
    return created;
  } finally {
    await database.end();
  }
}

function text({ bytes, expiresAt, file, id, recoveryKey, sections }: CreatedBackup): string {
  const rows = sections.reduce((sum, section) => sum + section.rows, 0);
  return [
    `backup ${id}: ${rows.toLocaleString("en")} rows, ${bytes.toLocaleString("en")} bytes in ${file}`,
    `delete every copy of it by ${expiresAt}: claviger backup purge deletes those that this host knows of`,
    `the shares of recovery key ${recoveryKey} open it: keep them elsewhere`,
    `what it holds, signed: ${file}.manifest.json`,
  ].join("\n");
}
