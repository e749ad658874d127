import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { clone } from "./shared-installation.ts";

export interface CliOptions {
  /** What comes in on stdin; nothing where left out. */
  input?: string | Uint8Array | undefined;
  /** Another `claviger.json` than the administrator's. */
  config?: string | undefined;
  workingDirectory?: string | undefined;
  environment?: Record<string, string> | undefined;
}

export interface CliResult {
  code: number;
  stdout: string;
  /** stdout as it came, for commands that answer with bytes. */
  output: Buffer;
  stderr: string;
  /** stdout as the one JSON document that it must be. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  json(): any;
}

const timeoutMilliseconds = 240_000;

/** Runs `bin/claviger` as a user would, as a process of its own with an environment of its own. */
export async function runCli(
  args: readonly string[],
  config: string,
  options: CliOptions,
): Promise<CliResult> {
  const child = spawn(join(clone, "bin", "claviger"), args, {
    cwd: options.workingDirectory ?? dirname(config),
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ""}`,
      LANG: "C.UTF-8",
      CLAVIGER_CONFIG: options.config ?? config,
      ...options.environment,
    },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: timeoutMilliseconds,
  });
  // A command that does not read its input may end before it is written.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input);
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === null) reject(new Error(`claviger ${args.join(" ")} was ended by ${signal}`));
      else resolve(code);
    });
  });
  const [output, stderr, code] = await Promise.all([buffer(child.stdout), text(child.stderr), ended]);
  const stdout = output.toString("utf8");
  const json = () => {
    try {
      return JSON.parse(stdout);
    } catch (cause) {
      throw new Error(
        `claviger ${args.join(" ")} (exit ${code}) did not print one JSON document:\n${stdout}${stderr}`,
        {
          cause,
        },
      );
    }
  };
  return { code, stdout, output, stderr, json };
}
