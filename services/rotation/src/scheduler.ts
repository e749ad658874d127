import type { Client } from "@claviger/client";
import type { Database } from "@claviger/database";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { derivedUuid } from "./key-follower.ts";
import type { OpenRegistry } from "./registry.ts";
import { claimDue, noteFailure, type ScheduleRow } from "./store/schedules.ts";

export interface SchedulerOptions {
  database: Database;
  open: OpenRegistry;
  generator: Client<typeof KeyGenerationService>;
  /** Reads a key again after an attempt, whatever came of it. */
  follow: (name: string) => Promise<void>;
  now: () => Date;
  onRotated: (name: string, version: number) => void;
  onTrouble: (what: string) => void;
}

const claimSeconds = 60;
const retryMilliseconds = 30_000;

/**
 * Rotates one key that is due, and resolves to whether one was. A rotation is claimed by row lock, asked
 * for with a request id made of key and version and with the version that it must find, and refused by
 * storage unless it is due there: whatever dies in between, it happens once.
 */
export async function rotateOne(options: SchedulerOptions): Promise<boolean> {
  const { database, now, open } = options;
  const due = await database.transaction((tx) => claimDue(open(tx), now(), claimSeconds));
  if (due === undefined) return false;
  await rotate(options, due);
  return true;
}

async function rotate(options: SchedulerOptions, due: ScheduleRow): Promise<void> {
  const { database, follow, generator, now, onRotated, onTrouble, open } = options;
  try {
    const { key } = await generator.createKeyVersion({
      requestId: derivedUuid("rotate", due.keyId, due.currentVersion),
      name: due.keyName,
      expectedCurrentVersion: due.currentVersion,
    });
    onRotated(due.keyName, key?.currentVersion ?? 0);
    await follow(due.keyName);
  } catch (error) {
    const { message } = error as Error;
    onTrouble(`${due.keyName} was not rotated: ${message}`);
    const retryAt = new Date(now().getTime() + retryMilliseconds);
    // What storage says now may be that somebody else has rotated it: then the schedule is renewed.
    await follow(due.keyName).catch(() => undefined);
    await database.transaction((tx) => noteFailure(open(tx), due.keyName, message, retryAt));
  }
}
