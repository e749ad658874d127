import { parseArgs } from "node:util";

/** What a program of the launcher says about itself and the flags that it knows. */
export interface Usage {
  command: string;
  summary: string;
  flags: Readonly<Record<string, string>>;
  notes?: string;
}

/** The flags that were given. Prints help, or refuses what it does not know with status 2. */
export function readFlags(usage: Usage): ReadonlySet<string> {
  const options = Object.fromEntries(
    [...Object.keys(usage.flags), "help"].map((name) => [name, { type: "boolean" as const }]),
  );
  let given: Record<string, unknown>;
  try {
    given = parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    const message = cause instanceof Error ? (cause.message.split(".")[0] ?? "") : String(cause);
    console.error(`error: ${message.charAt(0).toLowerCase()}${message.slice(1)}`);
    console.error(`hint: ${usage.command} -- --help lists what there is`);
    process.exit(2);
  }
  if (given.help === true) {
    console.log(helpText(usage));
    process.exit(0);
  }
  return new Set(Object.keys(given));
}

function helpText({ command, summary, flags, notes }: Usage): string {
  const lines = Object.entries({ ...flags, help: "shows this" }).map(
    ([name, text]) => `  --${name.padEnd(12)} ${text}`,
  );
  return [
    `${command} [-- FLAGS]`,
    "",
    summary,
    "",
    ...lines,
    ...(notes === undefined ? [] : ["", notes]),
  ].join("\n");
}

/** Prints an error the way that the command line does, with its hint. Knows DomainError by its shape only. */
export function printError(cause: unknown, { json = false }: { json?: boolean | undefined } = {}): void {
  const message = cause instanceof Error ? cause.message : String(cause);
  const { hint, kind } = (cause ?? {}) as { hint?: unknown; kind?: unknown };
  if (json) {
    const error = {
      kind: typeof kind === "string" ? kind : "internal",
      message,
      hint: typeof hint === "string" ? hint : null,
    };
    console.error(JSON.stringify({ error }));
    return;
  }
  console.error(`error: ${message}`);
  if (typeof hint === "string") console.error(`hint: ${hint}`);
}
