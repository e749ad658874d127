import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, rename } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { DomainError } from "@claviger/domain-error";
import type { Accounts } from "../accounts.ts";
import type { Layout } from "../layout.ts";
import type { DatabaseServiceName } from "../parts.ts";
import { databaseName } from "../provision-database.ts";

export interface CheckedRows {
  service: string;
  rows: number;
  findings: number;
  kept: { of: string; what: string }[];
}

interface CheckOptions {
  layout: Layout;
  clone: string;
  accounts: Accounts;
  port: number;
}

/** Services whose rows carry a seal. */
const sealing = ["storage", "distribution", "rotation"] as const satisfies readonly DatabaseServiceName[];

/** Each service's own program looks at its rows, under its own uid, with the seal key that the backup brought. */
export async function checkSealedRows(options: CheckOptions): Promise<CheckedRows[]> {
  const checked: CheckedRows[] = [];
  for (const service of sealing) {
    await giveSealKey(service, options);
    checked.push(await checkRows(service, options));
  }
  return checked;
}

/** By renaming: nobody but the generator's program has read it. */
async function giveSealKey(service: DatabaseServiceName, { accounts, layout }: CheckOptions): Promise<void> {
  const path = join(layout.serviceDirectory("generator"), "handoff", `${service}.seal.key`);
  const account = accounts[service];
  if (account !== undefined) await chown(path, account.uid, account.gid);
  await rename(path, join(layout.serviceDirectory(service), "seal.key"));
}

async function checkRows(
  service: DatabaseServiceName,
  { accounts, clone, layout, port }: CheckOptions,
): Promise<CheckedRows> {
  const program = join(clone, "services", service, "src/check-rows.ts");
  const child = spawn("/bin/sh", ["-c", 'ulimit -c 0; exec "$@"', "sh", process.execPath, program], {
    cwd: "/",
    env: {
      PATH: "/usr/bin:/bin",
      CLAVIGER_DIRECTORY: layout.serviceDirectory(service),
      CLAVIGER_DATABASE_HOST: layout.postgresql.socketDirectory,
      CLAVIGER_DATABASE_PORT: String(port),
      CLAVIGER_DATABASE_NAME: databaseName,
      CLAVIGER_DATABASE_USER: service,
    },
    stdio: ["ignore", "pipe", "pipe"],
    ...(accounts[service] ?? {}),
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  if (code !== 0) {
    throw new DomainError("unavailable", `the rows of ${service} could not be checked: ${err.slice(-500)}`);
  }
  return { service, ...(JSON.parse(out) as Omit<CheckedRows, "service">) };
}
