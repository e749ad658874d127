import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { type Ending, encodeEnding } from "@claviger/backup";
import { DomainError } from "@claviger/domain-error";
import type { Claviger } from "./claviger.ts";

export interface WrittenEndings {
  count: number;
  /** RFC 3339: until then all of them are known. */
  takenAt: string;
}

/**
 * Writes what was ended until now into a new file, for `backup restore --since`.
 * @throws DomainError `failed-precondition` where the file is there already
 */
export async function writeEndings(
  { registry }: Pick<Claviger, "registry">,
  path: string,
): Promise<WrittenEndings> {
  const file = openNew(path);
  try {
    let last: Ending | undefined;
    for await (const { endings } of registry.listEndings({})) {
      for (const { seal, $typeName: _, $unknown: __, ...fields } of endings) {
        last = { ...fields, kind: fields.kind as Ending["kind"] };
        writeSync(file, encodeEnding({ ending: last, seal: Buffer.from(seal) }));
      }
    }
    if (last?.kind !== "taken")
      throw new DomainError("unavailable", "the answer was cut off", { hint: "try again" });
    fsyncSync(file);
    return { count: last.version, takenAt: last.at };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (cause) {
    const there = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw new DomainError(
      there ? "failed-precondition" : "invalid-argument",
      there ? `${path} is there already` : `${path} cannot be written`,
      { hint: "name another file", cause },
    );
  }
}
