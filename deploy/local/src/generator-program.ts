import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { DomainError, exitCodeOfKind } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import type { Layout } from "./layout.ts";
import { tokenEnvironment } from "./services.ts";

export interface GeneratorAccount {
  layout: Layout;
  clone: string;
  account: Account | undefined;
}

export interface GeneratorProgram extends GeneratorAccount {
  /** Relative to the clone. */
  program: string;
  /** The program's standard input. */
  input?: string | undefined;
  /** Open for it from the fourth descriptor on. */
  shares: readonly string[];
  environment: Readonly<Record<string, string>>;
  /** Gets the program's lines that begin with `progress: `. */
  onProgress?: (message: string) => void;
}

/**
 * Runs one of the generator's programs under its uid. It gets the files open, since they are whoever's who runs
 * this, and their content passes no other process.
 * @throws DomainError with what the program said
 */
export async function runGeneratorProgram<Answer>(options: GeneratorProgram): Promise<Answer> {
  const { account, clone, environment, input, layout, onProgress, program } = options;
  const opened: number[] = [];
  try {
    const standardInput = input === undefined ? ("ignore" as const) : openFile(input, opened);
    const shares = options.shares.map((path) => openFile(path, opened));
    const child = spawn(
      "/bin/sh",
      ["-c", 'ulimit -c 0; exec "$@"', "sh", process.execPath, join(clone, program)],
      {
        cwd: "/",
        env: {
          PATH: "/usr/bin:/bin",
          CLAVIGER_DIRECTORY: layout.serviceDirectory("generator"),
          ...tokenEnvironment(layout),
          ...environment,
        },
        stdio: [standardInput, "pipe", "pipe", ...shares],
        ...(account === undefined ? {} : account),
      },
    );
    child.stderr!.on("data", (bytes: Buffer) => {
      for (const [, message] of bytes.toString("utf8").matchAll(/^progress: (.*)$/gm)) onProgress?.(message!);
    });
    const exited = once(child, "exit") as Promise<[number | null]>;
    const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), exited]);
    if (code !== 0) throw refusal(code, err);
    return JSON.parse(out) as Answer;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

function openFile(path: string, opened: number[]): number {
  try {
    const descriptor = openSync(path, "r");
    opened.push(descriptor);
    return descriptor;
  } catch (cause) {
    throw new DomainError("invalid-argument", `${path} cannot be read`, { cause });
  }
}

function refusal(code: number | null, said: string): DomainError {
  const message =
    /^error: (.*)$/m.exec(said)?.[1] ?? `the generator's program ended with ${code}: ${said.slice(-500)}`;
  const hint = /^hint: (.*)$/m.exec(said)?.[1];
  const refused =
    code === exitCodeOfKind["failed-precondition"] || code === exitCodeOfKind["invalid-argument"];
  // What is damaged is told apart from what was given wrong.
  const damaged = /^kind: integrity$/m.test(said);
  const kind = damaged ? "integrity" : refused ? "failed-precondition" : "unavailable";
  return new DomainError(kind, message, { hint });
}
