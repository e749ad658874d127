import type { Command } from "commander";
import { usageError } from "./errors.ts";
import { createSession, type Session } from "./session.ts";

export interface CommandSpec<Options> {
  /** As commander takes it: `create <keyring>`. */
  usage: string;
  description: string;
  /** One or two, after `claviger`. */
  examples: readonly string[];
  /** Flags and what they mean; a third entry makes one required. */
  options?: readonly (readonly [flags: string, description: string, required?: "required"])[];
  run(session: Session, positional: readonly string[], options: Options): Promise<void>;
}

/** The options of every command. */
interface GlobalOptions {
  json?: boolean;
  config?: string;
}

export function defineCommand<Options extends object>(parent: Command, spec: CommandSpec<Options>): void {
  const command = parent.command(spec.usage).description(spec.description);
  for (const [flags, description, required] of spec.options ?? []) {
    if (required === "required") command.requiredOption(flags, description);
    else command.option(flags, description);
  }
  const examples = spec.examples.map((example) => `  claviger ${example}`).join("\n");
  command.addHelpText("after", `\nExamples:\n${examples}`);
  command.action(async () => {
    const options = command.optsWithGlobals<Options & GlobalOptions>();
    using session = createSession({ json: options.json === true, config: options.config });
    await spec.run(session, command.processedArgs as string[], options);
  });
}

/** The positional argument at `index`, which commander has made sure of. */
export function argument(positional: readonly (string | undefined)[], index = 0): string {
  const value = positional[index];
  if (value === undefined) throw usageError("an argument is missing");
  return value;
}

/** What a service must have sent. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the service answered without ${what}`);
  return value;
}
