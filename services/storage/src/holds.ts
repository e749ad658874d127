import { randomUUID } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import { fullName, publish, type Registry } from "./registry.ts";
import { deleteHold, type HoldRow, insertHold, listHolds } from "./store/holds.ts";
import type { KeyRow } from "./store/keys.ts";

/** Something that depends on a key. */
export interface Hold {
  id: string;
  kind: HoldKind;
  /** The identity that depends on it, or that says so. */
  holder: string;
  reason: string;
  placedAt: Date;
  expiresAt: Date | undefined;
}

/** In the words of a refusal. */
const kinds = {
  hold: "held by",
  consumer: "used by the consumer",
  legal: "under a legal hold of",
  certificate: "relied on by a certificate of",
  campaign: "part of a campaign of",
} as const;
export type HoldKind = keyof typeof kinds;

/** These are not of their holder alone: whoever may hold keys there may end them. */
const endedByOthers: ReadonlySet<HoldKind> = new Set(["consumer", "legal"]);
const holdsMax = 500;
const reasonCharactersMax = 200;
const namedMax = 5;

export interface NewHold {
  kind: string;
  reason: string;
  caller: string;
  /** Empty: the caller. */
  holder: string;
  expiresAt: Date | undefined;
}

export async function placeHold(registry: Registry, key: KeyRow, wanted: NewHold): Promise<Hold> {
  const { now, sealer, tx } = registry;
  const kind = checkKind(wanted.kind);
  checkReason(wanted.reason);
  const holder = checkHolder(kind, wanted);
  if (wanted.expiresAt !== undefined && !(wanted.expiresAt > now)) {
    throw new DomainError("invalid-argument", "a hold that ends by itself ends in the future");
  }
  const all = await listHolds(tx, sealer, key.id);
  // Those that ended by themselves make room.
  for (const row of all) if (hasEnded(row, now)) await deleteHold(tx, sealer, row, now);
  const standing = all.filter((row) => !hasEnded(row, now));
  if (standing.length >= holdsMax) {
    throw new DomainError("exhausted", `${fullName(key)} has ${holdsMax} holds already`);
  }
  if (kind === "consumer" && standing.map(openHold(registry)).some((one) => isConsumer(one, holder))) {
    throw new DomainError("already-exists", `${holder} is a consumer of ${fullName(key)} already`);
  }
  const id = randomUUID();
  const row: HoldRow = {
    id,
    keyId: key.id,
    holder: null,
    reason: null,
    details: concealHold(registry, id, { holder, reason: wanted.reason }),
    kind,
    expiresAt: wanted.expiresAt ?? null,
    placedAt: now,
  };
  await insertHold(tx, sealer, row);
  await publish(registry, "key.held", fullName(key), { keyId: key.id, kind });
  return openHold(registry)(row);
}

/** @throws DomainError `not-found` where there is none that this caller may end */
export async function releaseHold(
  registry: Registry,
  key: KeyRow,
  holdId: string,
  caller: string,
): Promise<Hold> {
  const rows = await listHolds(registry.tx, registry.sealer, key.id);
  const row = rows.find(({ id }) => id === holdId);
  const hold = row === undefined ? undefined : openHold(registry)(row);
  if (row === undefined || hold === undefined || (hold.holder !== caller && !endedByOthers.has(hold.kind))) {
    throw new DomainError("not-found", "there is no such hold of this caller's on this key");
  }
  await deleteHold(registry.tx, registry.sealer, row, registry.now);
  await publish(registry, "key.released", fullName(key), { keyId: key.id, kind: hold.kind });
  return hold;
}

/** Those that stand: without what ended by itself. */
export async function holdsOf(registry: Registry, key: KeyRow): Promise<Hold[]> {
  const rows = await listHolds(registry.tx, registry.sealer, key.id);
  return rows.filter((row) => !hasEnded(row, registry.now)).map(openHold(registry));
}

/** What depends on the key, as the end of a sentence; undefined where nothing does. */
export function whyHeld(holds: readonly Hold[]): string | undefined {
  if (holds.length === 0) return undefined;
  const named = holds.slice(0, namedMax).map(({ expiresAt, holder, kind, reason }) => {
    const until = expiresAt === undefined ? "" : ` until ${expiresAt.toISOString()}`;
    return `${kinds[kind]} ${holder}${until} (${reason})`;
  });
  const more = holds.length > namedMax ? `, and ${holds.length - namedMax} more` : "";
  return `is ${named.join(", ")}${more}`;
}

function isConsumer({ holder, kind }: Hold, identity: string): boolean {
  return kind === "consumer" && holder === identity;
}

function hasEnded({ expiresAt }: HoldRow, now: Date): boolean {
  return expiresAt !== null && expiresAt <= now;
}

function openHold({ columns }: Registry): (row: HoldRow) => Hold {
  return ({ details, expiresAt, holder, id, kind, placedAt, reason }) => ({
    id,
    kind: (kind || "hold") as HoldKind,
    placedAt,
    expiresAt: expiresAt ?? undefined,
    ...(details === null
      ? { holder: holder ?? "", reason: reason ?? "" }
      : (JSON.parse(columns.reveal(placeOf(id), details)) as { holder: string; reason: string })),
  });
}

export function concealHold(
  { columns }: Registry,
  id: string,
  { holder, reason }: { holder: string; reason: string },
): Buffer {
  return columns.conceal(placeOf(id), canonicalJson({ holder, reason }));
}

function placeOf(id: string) {
  return { column: "holds.details", row: id };
}

function checkKind(kind: string): HoldKind {
  if (kind === "") return "hold";
  if (Object.hasOwn(kinds, kind)) return kind as HoldKind;
  throw new DomainError("invalid-argument", `"${kind.slice(0, 40)}" is not a kind of hold`, {
    hint: `one of ${Object.keys(kinds).join(", ")}`,
  });
}

function checkReason(reason: string): void {
  if (reason === "" || reason.length > reasonCharactersMax || /\p{Cc}/u.test(reason)) {
    throw new DomainError(
      "invalid-argument",
      `a hold needs a reason of at most ${reasonCharactersMax} characters, on one line`,
    );
  }
}

/** Of a consumer somebody else may say that it depends on the key. */
function checkHolder(kind: HoldKind, { caller, holder }: NewHold): string {
  if (holder === "" || holder === caller) return caller;
  if (kind !== "consumer") {
    throw new DomainError(
      "invalid-argument",
      "a hold is its caller's own; only a consumer is named by others",
    );
  }
  return parseIdentity(holder).uri;
}
