import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The reference that certificates are held against. A bare machine may lack it; tests then say so. */
export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

export const withoutOpenssl = "skipped, because this machine has no openssl command";

export interface Workspace extends Disposable {
  /** Writes a file and answers with its path. */
  write(name: string, content: string | Uint8Array): string;
  path(name: string): string;
  read(name: string): Uint8Array;
  /** Runs openssl; answers with everything that it printed, whether it failed or not. */
  openssl(...args: string[]): { ok: boolean; output: string };
}

export function createWorkspace(): Workspace {
  const directory = mkdtempSync(join(tmpdir(), "claviger-x509-"));
  return {
    write(name, content) {
      const file = join(directory, name);
      writeFileSync(file, content);
      return file;
    },
    path: (name) => join(directory, name),
    read: (name) => readFileSync(join(directory, name)),
    openssl(...args) {
      const result = spawnSync("openssl", args, { cwd: directory, encoding: "utf8" });
      return { ok: result.status === 0, output: `${result.stdout}${result.stderr}` };
    },
    [Symbol.dispose]() {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A request made by openssl itself: `req -new` with these arguments. */
export function opensslRequest(workspace: Workspace, ...args: string[]): Buffer {
  return execFileSync(
    "openssl",
    ["req", "-new", "-nodes", "-keyout", workspace.path("request.key"), ...args],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
}
