import { readFileSync } from "node:fs";
import type { DomainError } from "@claviger/domain-error";
import { type Command, CommanderError } from "commander";
import { asDomainError, exitCodeOfKind, usageError } from "./errors.ts";
import { printable } from "./output.ts";
import { createProgram, overview } from "./program.ts";

/** Runs one line of the command line. Gives the exit code, and never throws. */
export async function run(line: readonly string[]): Promise<number> {
  const json = wantsJson(line);
  try {
    if (line.length === 0) {
      process.stdout.write(overview);
      return 0;
    }
    const program = await createProgram(line);
    const shown = captureHelp(program);
    program.on("option:version", () => {
      throw new CommanderError(0, "claviger.version", "");
    });
    try {
      await program.parseAsync(line, { from: "user" });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      if (error.code === "claviger.version") showText(json, "version", version());
      else if (error.code === "commander.helpDisplayed" || isHelpCommand(error)) {
        showText(json, "help", shown.join(""));
      } else throw error.code === "commander.help" ? nothingToDo(line) : error;
    }
    return exitCodeSet();
  } catch (error) {
    const refusal = asDomainError(error);
    reportError(refusal, json);
    return exitCodeOfKind[refusal.kind];
  }
}

/** A command that has answered and still ends otherwise than well, as `status` may, sets `process.exitCode`. */
function exitCodeSet(): number {
  return typeof process.exitCode === "number" ? process.exitCode : 0;
}

function wantsJson(line: readonly string[]): boolean {
  const end = line.indexOf("--");
  return (end === -1 ? line : line.slice(0, end)).includes("--json");
}

/** Commander writes help from whichever command it belongs to; all share one sink. */
function captureHelp(program: Command): string[] {
  const shown: string[] = [];
  const capture = (command: Command): void => {
    command.configureOutput({ writeOut: (text) => shown.push(text) });
    for (const child of command.commands) capture(child);
  };
  capture(program);
  return shown;
}

/** `claviger help keys`; the same code with another exit code means that a subcommand is missing. */
function isHelpCommand(error: CommanderError): boolean {
  return error.code === "commander.help" && error.exitCode === 0;
}

function nothingToDo(line: readonly string[]): DomainError {
  const words = line.filter((word) => !word.startsWith("-"));
  const group = words[0];
  if (group === undefined) return usageError("no command was given", "claviger --help lists them");
  return usageError(`${group} needs to know what to do`, `claviger ${group} --help lists what it can do`);
}

function showText(json: boolean, name: string, text: string): void {
  process.stdout.write(
    json ? `${JSON.stringify({ [name]: text })}\n` : text.endsWith("\n") ? text : `${text}\n`,
  );
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function reportError({ kind, message, hint }: DomainError, json: boolean): void {
  if (json) {
    process.stderr.write(`${JSON.stringify({ error: { kind, message, hint: hint ?? null } })}\n`);
    return;
  }
  process.stderr.write(`error: ${printable(message)}\n`);
  if (hint !== undefined) process.stderr.write(`hint: ${printable(hint)}\n`);
}

/** Whoever reads our output may stop early, as `head` does: that is no error. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(exitCodeSet());
      throw error;
    });
  }
}
