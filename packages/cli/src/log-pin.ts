import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import {
  type Checkpoint,
  openCheckpoint,
  parseVerifierKey,
  type VerifierKey,
  verifyConsistency,
} from "@claviger/merkle";
import { usageError } from "./errors.ts";
import { writeOutput } from "./files.ts";

/**
 * What this side remembers of the log: the key that signs it, and the newest checkpoint seen. Without
 * the first, anybody could sign; without the second, a log could forget.
 */
export interface PinFiles {
  verifierKey: string;
  checkpoint: string;
}

export function pinFilesOf(configPath: string): PinFiles {
  const directory = join(dirname(configPath), "trust");
  return { verifierKey: join(directory, "audit.vkey"), checkpoint: join(directory, "audit-checkpoint.txt") };
}

export interface Pin {
  verifierKey?: VerifierKey;
  verifierKeyText?: string;
  checkpoint?: Checkpoint;
}

/** @throws DomainError `integrity` where a pinned file is damaged: then it proves nothing any more */
export function readPin(files: PinFiles): Pin {
  const verifierKeyText = readIfThere(files.verifierKey)?.trim();
  if (verifierKeyText === undefined) return {};
  const note = readIfThere(files.checkpoint);
  try {
    const verifierKey = parseVerifierKey(verifierKeyText);
    if (note === undefined) return { verifierKey, verifierKeyText };
    const { checkpoint } = openCheckpoint(note, [verifierKey], verifierKey.name);
    return { verifierKey, verifierKeyText, checkpoint };
  } catch (cause) {
    throw new DomainError("integrity", `what is pinned in ${dirname(files.verifierKey)} is damaged`, {
      hint: "restore audit.vkey and audit-checkpoint.txt from a copy; without one, compare the key with a colleague's",
      cause,
    });
  }
}

/** A verifier key that the user names. @throws DomainError `invalid-argument` */
export function readVerifierKey(path: string): VerifierKey {
  const text = readIfThere(path);
  if (text !== undefined) return parseVerifierKey(text.trim());
  throw usageError(
    `there is no verifier key at ${path}`,
    "`claviger audit checkpoint` pins it; or name one with --verifier-key",
  );
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw usageError(`${path} cannot be read`, undefined, cause);
  }
}

/** The log's head as the service tells it, with the proof that it extends the pinned one. */
export interface ToldHead {
  note: string;
  verifierKeyText: string;
  consistency: readonly Uint8Array[];
}

/**
 * Checks the head against what is pinned.
 * @throws DomainError `integrity` where the key is another one, a signature or the proof fails, or the
 * log has shrunk
 */
export function checkHead(told: ToldHead, pin: Pin): Checkpoint {
  if (pin.verifierKeyText !== undefined && pin.verifierKeyText !== told.verifierKeyText.trim()) {
    throw new DomainError("integrity", "the log is signed with another key than the one that is pinned", {
      hint: "unless you know of a change of that key, treat the log as suspect; it is pinned in trust/audit.vkey",
    });
  }
  const verifierKey = pin.verifierKey ?? readToldKey(told.verifierKeyText);
  const checkpoint = openTold(told.note, verifierKey);
  const { checkpoint: pinned } = pin;
  if (pinned === undefined) return checkpoint;
  requireNoSmaller(checkpoint, pinned);
  // Every tree extends the empty one; there is no proof of that.
  if (pinned.size > 0) {
    verifyConsistency({
      first: pinned.size,
      second: checkpoint.size,
      firstRoot: pinned.root,
      secondRoot: checkpoint.root,
      proof: told.consistency,
    });
  }
  return checkpoint;
}

export function requireNoSmaller(checkpoint: Checkpoint, pinned: Checkpoint): void {
  if (checkpoint.size >= pinned.size) return;
  throw new DomainError("integrity", `the log has ${checkpoint.size} records, and once had ${pinned.size}`, {
    hint: "a log never shrinks: treat it as suspect, and keep trust/audit-checkpoint.txt as evidence",
  });
}

function readToldKey(text: string): VerifierKey {
  return asIntegrity("the service's verifier key is malformed", () => parseVerifierKey(text.trim()));
}

export function openTold(note: string, verifierKey: VerifierKey): Checkpoint {
  return asIntegrity("the service's checkpoint is malformed", () => {
    return openCheckpoint(note, [verifierKey], verifierKey.name).checkpoint;
  });
}

/** What a service sends cannot be the user's bad input. */
function asIntegrity<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DomainError && cause.kind === "integrity") throw cause;
    throw new DomainError("integrity", what, { cause });
  }
}

/** Moves the pin forward: the key at the first use alone. */
export function writePin(files: PinFiles, told: ToldHead, pin: Pin): void {
  mkdirSync(dirname(files.verifierKey), { recursive: true, mode: 0o755 });
  if (pin.verifierKey === undefined) writeOutput(files.verifierKey, `${told.verifierKeyText.trim()}\n`);
  writeOutput(files.checkpoint, told.note);
}
