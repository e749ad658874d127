// What custodians-change.ts runs where the services' users can reach the clone.
import { existsSync, readdirSync } from "node:fs";
import { chown, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { ensureDirectory } from "@claviger/owned-files";
import { ensureAccounts } from "./accounts.ts";
import { runGeneratorProgram } from "./generator-program.ts";
import { layoutOf } from "./layout.ts";
import { readSettings } from "./local-settings.ts";
import { portsOf } from "./ports.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    state: { type: "string" },
    "known-as": { type: "string" },
    threshold: { type: "string" },
    shares: { type: "string" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(flags.state ?? "", { knownAs: flags["known-as"] });
const shares = JSON.parse(process.env.CLAVIGER_GIVEN_SHARE_FILES ?? "[]") as string[];
const notice = (message: string): void => console.error(`claviger: ${message}`);

interface Changed {
  recoveryKey: string;
  insteadOf: string;
  threshold: number;
  shares: number;
  keyringKeys: number;
}

try {
  const changed = await change();
  const directory = join(flags["known-as"] ?? layout.stateDirectory, "recovery", changed.recoveryKey);
  if (flags.json) console.log(JSON.stringify({ ...changed, directory }));
  else {
    console.log(
      [
        `recovery key ${changed.recoveryKey} is in the place of ${changed.insteadOf}`,
        `${changed.threshold} of ${changed.shares} shares open it; they are in ${directory}`,
        "give each to another custodian, delete it here, and have it said: claviger backup custodians acknowledge --share F",
        `backups made until now still open with the shares of ${changed.insteadOf}: make a new one, and destroy those`,
        "shares once none of the old ones is wanted any more",
      ].join("\n"),
    );
  }
} catch (cause) {
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}

async function change(): Promise<Changed> {
  const accounts = await ensureAccounts();
  const settings = await readSettings(layout);
  if (settings === undefined) {
    throw new DomainError("failed-precondition", "there is no installation here");
  }
  try {
    return await runGeneratorProgram<Changed>({
      layout,
      clone,
      account: accounts.generator,
      program: "services/generator/src/ceremony/change-custody.ts",
      shares,
      environment: {
        CLAVIGER_TRUST_DOMAIN: settings.trustDomain,
        CLAVIGER_STORAGE_ADDRESS: `127.0.0.1:${portsOf(settings.basePort).storage}`,
        CLAVIGER_GIVEN_SHARES: String(shares.length),
        ...(flags.threshold === undefined ? {} : { CLAVIGER_NEXT_THRESHOLD: flags.threshold }),
        ...(flags.shares === undefined ? {} : { CLAVIGER_NEXT_SHARES: flags.shares }),
      },
      onProgress: notice,
    });
  } finally {
    // Also where it was cut off: they open what is wrapped from now on.
    await handOver();
  }
}

/** By renaming: nobody but the generator's program has read them. */
async function handOver(): Promise<void> {
  const from = join(layout.serviceDirectory("generator"), "custody");
  if (!existsSync(from) || !existsSync(join(layout.serviceDirectory("generator"), "ceremony.json"))) return;
  for (const recoveryKey of readdirSync(from)) {
    const target = join(layout.recoveryDirectory, recoveryKey);
    await ensureDirectory(target, { mode: 0o700 });
    for (const name of readdirSync(join(from, recoveryKey))) {
      const path = join(from, recoveryKey, name);
      if (process.getuid?.() === 0) await chown(path, 0, 0);
      await rename(path, join(target, name));
    }
    await rmdir(join(from, recoveryKey));
  }
}
