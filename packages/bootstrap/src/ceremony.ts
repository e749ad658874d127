import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chown, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DomainError } from "@claviger/domain-error";
import { type Account, ensureDirectory, writeOwnedFile } from "@claviger/owned-files";
import { requireSharesGone } from "./custody.ts";
import { type BootstrapOptions, serviceNames } from "./options.ts";

const run = promisify(execFile);
const ceremonyMilliseconds = 60_000;

/**
 * Runs the generator's program in ceremony mode, under the generator's own uid: PINs, shares and seal
 * keys are made there and pass this process by. What others are to hold is then moved to them, unread.
 */
export async function holdCeremony(options: BootstrapOptions): Promise<void> {
  const { acceptToken, accounts, clone, layout, node, onNotice, tokenEnvironment } = options;
  const directory = layout.serviceDirectory("generator");
  const handoff = join(directory, "handoff");
  await ensureDirectory(join(directory, "token"), { mode: 0o700, account: accounts.generator });
  await writeSoftHsmConfiguration(directory, accounts.generator);
  const program = join(clone, "services/generator/src/ceremony/main.ts");
  const environment = {
    PATH: "/usr/bin:/bin",
    CLAVIGER_DIRECTORY: directory,
    CLAVIGER_RECOVERY_DIRECTORY: handoff,
    ...tokenEnvironment,
  };
  const first = !existsSync(join(directory, "ceremony.json"));
  if (first) {
    onNotice("first start: holding the recovery ceremony and making the HSM token");
    await runAs(accounts.generator, node, program, environment);
    onNotice(
      `the recovery key's shares are in ${layout.recoveryDirectory}: give each to another custodian and delete it here`,
    );
  } else {
    await requireSharesGone(layout.recoveryDirectory, tokenEnvironment.CLAVIGER_PROFILE);
  }
  if (!first && acceptToken !== undefined) {
    await runAs(accounts.generator, node, program, { ...environment, CLAVIGER_ACCEPT_TOKEN: acceptToken });
    onNotice(`the HSM token ${acceptToken} is the right one from now on`);
  }
  if (existsSync(handoff)) await handOver(handoff, options);
}

/** SoftHSM wants an absolute path; written at each start, since a clone may have been moved. */
export async function writeSoftHsmConfiguration(
  directory: string,
  account: Account | undefined,
): Promise<void> {
  const lines = [
    `directories.tokendir = ${join(directory, "token")}`,
    "objectstore.backend = file",
    "log.level = ERROR",
  ];
  await writeOwnedFile(join(directory, "softhsm2.conf"), `${lines.join("\n")}\n`, { mode: 0o600, account });
}

async function runAs(
  account: Account | undefined,
  node: string,
  program: string,
  environment: Record<string, string>,
): Promise<void> {
  try {
    await run("/bin/sh", ["-c", 'ulimit -c 0; exec "$@"', "sh", node, program], {
      env: environment,
      cwd: "/",
      timeout: ceremonyMilliseconds,
      ...(account === undefined ? {} : account),
    });
  } catch (cause) {
    const said = String((cause as { stderr?: unknown }).stderr ?? "").trim() || (cause as Error).message;
    throw new DomainError("failed-precondition", `the ceremony failed: ${said.replace(/^error: /, "")}`, {
      hint: "nothing was kept; mend what it says and start again",
      cause,
    });
  }
}

/** Renames within one file system, then a change of owner: the bytes are never read here. */
async function handOver(handoff: string, options: BootstrapOptions): Promise<void> {
  const { accounts, layout } = options;
  const root = process.getuid?.() === 0 ? { uid: 0, gid: 0 } : undefined;
  for (const name of await readdir(handoff)) {
    const service = serviceNames.find((candidate) => name === `${candidate}.seal.key`);
    const owner = service === undefined ? root : accounts[service];
    const target =
      service === undefined
        ? join(layout.recoveryDirectory, name)
        : join(layout.serviceDirectory(service), "seal.key");
    if (owner !== undefined) await chown(join(handoff, name), owner.uid, owner.gid);
    await rename(join(handoff, name), target);
  }
}
