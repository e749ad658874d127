import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { DomainError } from "@claviger/domain-error";

/** The state directory that a claviger.json lies in, where it is an installation's own and not a joined client's. */
export function stateEnvironment(configPath: string): Record<string, string> {
  const directory = dirname(realpathSync(configPath));
  return existsSync(join(directory, "local.json")) ? { CLAVIGER_STATE: directory } : {};
}

const clone = resolve(import.meta.dirname, "../../..");

/**
 * What shows that somebody holds the share in `path`: a process of its own computes it, for none enters this one.
 * @throws DomainError `invalid-argument`
 */
export async function proofOfShare(path: string): Promise<Buffer> {
  const program = join(clone, "services/generator/src/ceremony/share-proof.ts");
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new DomainError("invalid-argument", `${path} cannot be read`, { cause });
  }
  try {
    const child = spawn(process.execPath, [program], { stdio: [file.fd, "pipe", "inherit"] });
    return Buffer.from(await text(child.stdout!), "base64");
  } finally {
    await file.close();
  }
}

/**
 * Runs one of the launcher's programs with this terminal, for what is the host's own business: PINs, shares and
 * the database's rows never enter this process. Ctrl-C reaches the program too, and it decides.
 * @throws DomainError `failed-precondition` where this machine has no clone
 */
export async function runHostProgram(
  name: "init" | "backup-create" | "backup-drill" | "restore" | "custodians-change",
  line: readonly string[],
  environment: Record<string, string> = {},
): Promise<number> {
  // With what npm start has prepared: the bus's server and the HSM's module, where they are not the system's own.
  const launcher = join(clone, "deploy", "local", "run.sh");
  if (!existsSync(launcher)) {
    throw new DomainError("failed-precondition", "this machine has no clone of Claviger", {
      hint: "run it on the services' host, in the clone",
    });
  }
  const ignore = (): void => undefined;
  process.removeAllListeners("SIGINT");
  process.on("SIGINT", ignore);
  return new Promise((resolvePromise, reject) => {
    const child = spawn("sh", [launcher, name, ...line], {
      stdio: "inherit",
      env: { ...process.env, ...environment },
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      process.off("SIGINT", ignore);
      resolvePromise(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
