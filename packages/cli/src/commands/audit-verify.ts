import type { Claviger } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Checkpoint } from "@claviger/merkle";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readInput } from "../files.ts";
import {
  checkHead,
  openTold,
  type Pin,
  type PinFiles,
  pinFilesOf,
  readPin,
  readVerifierKey,
  requireNoSmaller,
  type ToldHead,
  writePin,
} from "../log-pin.ts";
import { proofBytesMax, verifyProofFile } from "../proof-file.ts";
import type { Session } from "../session.ts";

export function registerCheckpoint(audit: Command): void {
  defineCommand(audit, {
    usage: "checkpoint",
    description: "the log's newest signed checkpoint; it is checked against the pinned one, and pinned",
    examples: ["audit checkpoint"],
    async run(session) {
      const { told, checkpoint, files, pin } = await followLog(session);
      const { size, root, origin } = checkpoint;
      const { note, verifierKeyText } = told;
      session.answer({ checkpoint: note, origin, size, root, verifierKey: verifierKeyText }, () => note);
      if (pin.verifierKey === undefined) session.notice(firstUse(files));
    },
  });
}

interface VerifyOptions {
  offline?: string;
  verifierKey?: string;
}

export function registerVerify(audit: Command): void {
  defineCommand<VerifyOptions>(audit, {
    usage: "verify",
    description:
      "check that the log has only grown since last time, or check a proof file; exits with 5 if not",
    examples: ["audit verify", "audit verify --offline proof.json --verifier-key audit.vkey"],
    options: [
      ["--offline <file>", "a file of `audit proof`; it is checked without asking anybody"],
      [
        "--verifier-key <file>",
        "with --offline: the log's key; by default the one pinned beside claviger.json",
      ],
    ],
    async run(session, _, { offline, verifierKey }) {
      if (offline !== undefined) return verifyOffline(session, offline, verifierKey);
      if (verifierKey !== undefined) {
        throw usageError("--verifier-key goes with --offline", "online, the pinned trust/audit.vkey counts");
      }
      await verifyOnline(session);
    },
  });
}

async function verifyOffline(session: Session, path: string, keyPath: string | undefined): Promise<void> {
  // Grown is damaged too, and not bad usage.
  const limits = { bytesMax: proofBytesMax, what: "a proof", kindWhereLarger: "integrity" } as const;
  const content = await readInput(path, limits);
  const verifierKey = readVerifierKey(keyPath ?? pinFilesOf(await session.configPath()).verifierKey);
  const { proof, size, origin } = verifyProofFile(content, verifierKey);
  const { sequence, record, personal } = proof;
  session.answer(
    { valid: true, sequence, size, origin, record, personal },
    () => `valid: record ${sequence} is in the log ${origin}, as signed at ${size} records`,
  );
}

async function verifyOnline(session: Session): Promise<void> {
  const { checkpoint, files, pin } = await followLog(session);
  const { size, root, origin } = checkpoint;
  const previousSize = pin.checkpoint?.size ?? null;
  session.answer(
    { valid: true, origin, size, root, previousSize, firstUse: pin.verifierKey === undefined },
    () =>
      previousSize === null
        ? `valid: the log ${origin} has ${size} records`
        : `valid: the log ${origin} has ${size} records, and begins with the ${previousSize} known before`,
  );
  if (pin.verifierKey === undefined) session.notice(firstUse(files));
}

function firstUse({ verifierKey, checkpoint }: PinFiles): string {
  return `first use: the log's key is pinned in ${verifierKey}, and its head in ${checkpoint}; compare the key with a colleague's`;
}

interface FollowedLog {
  told: ToldHead;
  checkpoint: Checkpoint;
  files: PinFiles;
  /** As it was before. */
  pin: Pin;
}

/** Fetches the newest checkpoint, checks that the log has only grown, and moves the pin forward. */
async function followLog(session: Session): Promise<FollowedLog> {
  const files = pinFilesOf(await session.configPath());
  const pin = readPin(files);
  const claviger = await session.connect();
  const told = await fetchHead(claviger, pin);
  const checkpoint = checkHead(told, pin);
  writePin(files, told, pin);
  return { told, checkpoint, files, pin };
}

async function fetchHead(claviger: Claviger, { checkpoint: pinned, verifierKey }: Pin): Promise<ToldHead> {
  const fetch = async (fromSize: number): Promise<ToldHead> => {
    const answer = await claviger.audit.getCheckpoint({ fromSize: BigInt(fromSize) });
    return {
      note: answer.checkpoint,
      verifierKeyText: answer.verifierKey,
      consistency: answer.consistencyHashes,
    };
  };
  try {
    return await fetch(pinned?.size ?? 0);
  } catch (error) {
    const refused =
      error instanceof DomainError && ["failed-precondition", "invalid-argument"].includes(error.kind);
    if (!refused || pinned === undefined || verifierKey === undefined) throw error;
    // It cannot prove that it extends what we know: perhaps because it has become smaller.
    requireNoSmaller(openTold((await fetch(0)).note, verifierKey), pinned);
    throw error;
  }
}
