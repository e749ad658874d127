import { createHash } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { BusMessage } from "@claviger/bus";
import type { Client } from "@claviger/client";
import type { Database } from "@claviger/database";
import { isDomainError } from "@claviger/domain-error";
import { insertEvent } from "@claviger/outbox";
import type { Key, KeyService, KeyVersion } from "@claviger/proto/storage/v1/key_pb.ts";
import { isKeyName } from "./key-names.ts";
import type { OpenRegistry } from "./registry.ts";
import { insertRollout, newestVersion } from "./store/rollouts.ts";
import { deleteSchedule, saveSchedule } from "./store/schedules.ts";

export interface KeyFollowerOptions {
  database: Database;
  open: OpenRegistry;
  storage: Client<typeof KeyService>;
  onRollout: () => void;
}

const versionsPage = 1000;

/** A UUID that is the same whenever and wherever it is made of the same words. */
export function derivedUuid(...words: readonly (string | number)[]): string {
  const hex = createHash("sha256").update(words.join("\n")).digest("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}

/**
 * Follows storage's events about keys. An event only says which key to read again: what is then kept,
 * schedule and roll-outs, is what storage itself says.
 */
export function createKeyFollower(options: KeyFollowerOptions) {
  const follow = (name: string): Promise<void> => followKey(options, name);
  return {
    follow,
    async handle(messages: BusMessage[]): Promise<void> {
      const names = new Set(messages.map(subjectOf).filter((name) => name !== undefined));
      for (const name of names) await follow(name);
    },
  };
}

function subjectOf(message: BusMessage): string | undefined {
  if (!message.subject.startsWith("claviger.events.storage.key.")) return undefined;
  try {
    const { subject } = JSON.parse(Buffer.from(message.data).toString("utf8")) as { subject?: unknown };
    return typeof subject === "string" && isKeyName(subject) ? subject : undefined;
  } catch {
    return undefined;
  }
}

async function followKey(options: KeyFollowerOptions, name: string): Promise<void> {
  const { database, onRollout, open, storage } = options;
  const key = await readKey(storage, name);
  if (key === undefined) {
    await database.transaction((tx) => deleteSchedule(open(tx), name));
    return;
  }
  const known = await database.transaction((tx) => newestVersion(open(tx), name, key.id));
  const versions = await versionsAfter(storage, key, known);
  const newest = versions.at(-1) ?? (await versionsAfter(storage, key, key.currentVersion - 1)).at(-1);
  const opened = await database.transaction(async (tx) => {
    const registry = open(tx);
    let count = 0;
    for (const version of versions) {
      const rotatedAt = version.createdAt === undefined ? new Date() : timestampDate(version.createdAt);
      const eventId = derivedUuid("rollout", key.id, version.version);
      const row = { keyName: name, version: version.version, keyId: key.id, eventId, rotatedAt };
      if (!(await insertRollout(registry, row))) continue;
      count += 1;
      await insertEvent(tx, "rotation", {
        type: "rollout.opened",
        subject: name,
        time: new Date(),
        data: { keyId: key.id, version: version.version },
      });
    }
    const live = key.destroyAt === undefined && key.state === "active";
    const period = Number(key.rotationPeriodSeconds);
    // Storage decides once more when the rotation is asked for.
    const usedUp = newest !== undefined && usesAreHigh(newest);
    if (!live || (period === 0 && !usedUp) || newest?.createdAt === undefined) {
      await deleteSchedule(registry, name);
      return count;
    }
    const lastRotatedAt = timestampDate(newest.createdAt);
    await saveSchedule(registry, {
      keyName: name,
      keyId: key.id,
      currentVersion: key.currentVersion,
      rotationPeriodSeconds: period,
      lastRotatedAt,
      nextRotationAt: usedUp ? new Date() : new Date(lastRotatedAt.getTime() + period * 1000),
    });
    return count;
  });
  if (opened > 0) onRollout();
}

/** The share of its bound from which storage lets the next version be made. */
const usesShare = 0.75;

function usesAreHigh({ usesMax, usesReserved }: KeyVersion): boolean {
  return usesMax > 0n && Number(usesReserved) >= Number(usesMax) * usesShare;
}

async function readKey(storage: Client<typeof KeyService>, name: string): Promise<Key | undefined> {
  try {
    return (await storage.getKey({ name })).key;
  } catch (error) {
    if (isDomainError(error, "not-found")) return undefined;
    throw error;
  }
}

async function versionsAfter(
  storage: Client<typeof KeyService>,
  key: Key,
  after: number,
): Promise<KeyVersion[]> {
  if (after >= key.currentVersion) return [];
  const pageToken = Buffer.from(String(after)).toString("base64url");
  const { versions } = await storage.listKeyVersions({ name: key.name, pageSize: versionsPage, pageToken });
  // One that waits for its activation is rolled out once it is current.
  return versions.filter(({ version }) => version <= key.currentVersion);
}
