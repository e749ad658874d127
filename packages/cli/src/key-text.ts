import { properties, shortIdentity, table } from "./output.ts";
import { relativeTime, shortTime, type TimestampLike } from "./plain.ts";

/** What of a key people are shown; the contract's message has all of it. */
export interface KeyView {
  name: string;
  id: string;
  purpose: string;
  algorithm: string;
  protection: string;
  exportable: boolean;
  state: string;
  currentVersion: number;
  owner: string;
  createdAt?: TimestampLike | undefined;
  destroyAt?: TimestampLike | undefined;
  destroyAfterDays: number;
  rotationPeriodSeconds: bigint;
  holds: readonly {
    holder: string;
    reason: string;
    kind: string;
    expiresAt?: TimestampLike | undefined;
  }[];
  labels: Readonly<Record<string, string>>;
  description: string;
  createdBy: string;
  activateAt?: TimestampLike | undefined;
  expireAt?: TimestampLike | undefined;
  stateReason: string;
  stateChangedAt?: TimestampLike | undefined;
  latestVersion: number;
}

export function keyTable(keys: readonly KeyView[]): string {
  const rows = keys.map((key) => [
    key.name,
    key.algorithm,
    key.protection,
    stateText(key),
    key.currentVersion,
    shortTime(key.createdAt).slice(0, 10),
  ]);
  return table(
    ["KEY", "ALGORITHM", "PROTECTION", "STATE", "VERSION", "CREATED"],
    rows,
    "no keys: claviger keys create R/K --algorithm aes-256-gcm",
  );
}

export function keyText(key: KeyView): string {
  return properties([
    ["name", key.name],
    ["id", key.id],
    ["purpose", key.purpose],
    ["algorithm", key.algorithm],
    ["protection", key.protection],
    ...(key.exportable ? [["exportable", "yes"] as const] : []),
    ["state", stateText(key)],
    ["since", sinceText(key)],
    ["activation", key.state === "pre-activation" ? dateText(key.activateAt) : ""],
    ["expiry", dateText(key.expireAt)],
    ["current version", key.currentVersion],
    ["waiting version", key.latestVersion > key.currentVersion ? key.latestVersion : ""],
    ["owner", shortIdentity(key.owner)],
    ["description", key.description],
    ...Object.entries(key.labels).map(([name, value]) => ["label", `${name}=${value}`] as const),
    ["created", `${shortTime(key.createdAt)} by ${shortIdentity(key.createdBy)}`],
    ["destruction", destructionText(key)],
    ["rotation", rotationText(key.rotationPeriodSeconds)],
    ...key.holds.map((hold) => [holdWords[hold.kind] ?? "held by", holdText(hold)] as const),
  ]);
}

const holdWords: Readonly<Record<string, string>> = {
  consumer: "consumer",
  legal: "legal hold",
  certificate: "certificate",
  campaign: "campaign",
};

function holdText({ expiresAt, holder, reason }: KeyView["holds"][number]): string {
  const until = expiresAt === undefined ? "" : `, until ${shortTime(expiresAt)}`;
  return `${shortIdentity(holder)}: ${reason}${until}`;
}

function sinceText({ stateChangedAt, stateReason }: KeyView): string {
  if (stateChangedAt === undefined) return "";
  return `${shortTime(stateChangedAt)} (${stateReason})`;
}

function dateText(time: TimestampLike | undefined): string {
  return time === undefined ? "" : `${shortTime(time)} (${relativeTime(time)})`;
}

function stateText({ state, destroyAt }: KeyView): string {
  return destroyAt === undefined ? state : `${state}, to be destroyed`;
}

function destructionText({ destroyAt, destroyAfterDays }: KeyView): string {
  if (destroyAt === undefined) return `${destroyAfterDays} days after it is asked for`;
  return `on ${shortTime(destroyAt)} (${relativeTime(destroyAt)})`;
}

export function rotationText(seconds: bigint): string {
  return seconds === 0n ? "on request" : `every ${periodText(Number(seconds))}`;
}

/** In the largest unit that divides it. */
export function periodText(seconds: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
  ] as const;
  const fitting = units.find(([, length]) => seconds % length === 0);
  return fitting === undefined ? `${seconds}s` : `${seconds / fitting[1]}${fitting[0]}`;
}
