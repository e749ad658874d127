import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SecretBytes } from "@claviger/secret-bytes";
import { unwrapWith } from "./opened-backup.ts";

const prefix = "seal-";

/** The services' seal keys, out of their recovery wraps: each in a file of its own for whoever moves it to its service. */
export function handOverSealKeys(
  directory: string,
  recoveryKey: SecretBytes,
  recoveryWraps: Readonly<Record<string, string>>,
): void {
  const handoff = join(directory, "handoff");
  mkdirSync(handoff, { recursive: true, mode: 0o700 });
  for (const [name, wrap] of Object.entries(recoveryWraps)) {
    if (!name.startsWith(prefix)) continue;
    const service = name.slice(prefix.length);
    using sealKey = unwrapWith(recoveryKey, wrap, `the seal key of ${service}`);
    writeFileSync(join(handoff, `${service}.seal.key`), sealKey.expose(), { mode: 0o600 });
  }
}
