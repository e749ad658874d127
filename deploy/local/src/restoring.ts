// Without packages from npm, as everything that start.ts loads.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Layout } from "./layout.ts";

/** From here on, until the end, this installation is neither what it was nor what it is to be. */
export function beginRestoring(layout: Layout, backup: { id: string; createdAt: string }): void {
  const { createdAt, id } = backup;
  writeFileSync(layout.restoring, JSON.stringify({ backup: id, madeAt: createdAt }), {
    mode: 0o644,
    flush: true,
  });
}

export function endRestoring(layout: Layout): void {
  rmSync(layout.restoring);
}

/** The backup that a restore was begun of and not ended; undefined where there is none. */
export function unfinishedRestore(layout: Layout): string | undefined {
  if (!existsSync(layout.restoring)) return undefined;
  return (JSON.parse(readFileSync(layout.restoring, "utf8")) as { backup: string }).backup;
}
