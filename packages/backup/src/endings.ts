import { createInterface } from "node:readline";
import { DomainError } from "@claviger/domain-error";

/**
 * Something that was ended: a key's or a version's use, an identity, a certificate, a role. Sealed by storage's own
 * seal key as a row of the table that `endingsTable` names, wherever it lies (docs/formats.md).
 */
export interface Ending {
  /** `taken` is the last of a file, and says that it is whole: `version` is how many came before it. */
  kind: "key" | "revocation" | "withdrawal" | "taken";
  /** `keyring/key`; `identity:…` or `serial:…`; the table; the trust domain. */
  subject: string;
  /** The key's id; the row's primary key. */
  place: string;
  /** Of a key; 0 for the whole of it. */
  version: number;
  state: string;
  reason: string;
  /** RFC 3339, or empty. */
  destroyAt: string;
  /** RFC 3339: when it was ended, or for `taken`: until when all of it is known. */
  at: string;
}

export interface SealedEnding {
  ending: Ending;
  seal: Buffer;
}

export const endingsTable = "endings";
const lineCharactersMax = 16 * 1024;

export function encodeEnding({ ending, seal }: SealedEnding): string {
  const { at, destroyAt, kind, place, reason, state, subject, version } = ending;
  const row = { kind, subject, place, version, state, reason, destroyAt, at };
  return `${JSON.stringify({ ending: row, seal: seal.toString("base64") })}\n`;
}

/** Line by line; with `several`, of one file after another. @throws DomainError `integrity` where it is no such file, or lacks a line */
export async function* readEndings(
  source: NodeJS.ReadableStream,
  { several = false }: { several?: boolean } = {},
): AsyncGenerator<SealedEnding> {
  let count = 0;
  let whole = false;
  for await (const line of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (whole && several) {
      count = 0;
      whole = false;
    }
    const sealed = whole ? undefined : parseLine(line);
    if (sealed === undefined) {
      throw new DomainError("integrity", `line ${count + 1} is nothing that \`backup endings\` wrote`);
    }
    if (sealed.ending.kind === "taken") {
      if (sealed.ending.version !== count) {
        throw new DomainError(
          "integrity",
          `${sealed.ending.version} endings were written, and ${count} are there`,
        );
      }
      whole = true;
    }
    count += 1;
    yield sealed;
  }
  if (!whole) throw new DomainError("integrity", "the end of the file of endings is missing");
}

function parseLine(line: string): SealedEnding | undefined {
  if (line.length > lineCharactersMax) return undefined;
  try {
    const { ending, seal } = JSON.parse(line) as { ending: Ending; seal: string };
    const { at, destroyAt, kind, place, reason, state, subject, version } = ending;
    const texts = [kind, subject, place, state, reason, destroyAt, at, seal];
    if (!texts.every((text) => typeof text === "string") || !Number.isSafeInteger(version)) return undefined;
    const row = { kind, subject, place, version, state, reason, destroyAt, at };
    return { ending: row, seal: Buffer.from(seal, "base64") };
  } catch {
    return undefined;
  }
}
