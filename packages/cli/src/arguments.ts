import { usageError } from "./errors.ts";

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;
const durationHint = "a duration is a whole number and a unit: 30s, 15m, 1h, 90d or 4w";
const secondsPerDay = unitSeconds.d;
const secondsMax = 100 * 366 * secondsPerDay;
const partPattern = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

/** `90d` in seconds. @throws DomainError `invalid-argument` */
export function parseDuration(text: string, option: string): number {
  const match = /^([1-9]\d{0,9})([smhdw])$/.exec(text);
  const seconds = Number(match?.[1]) * unitSeconds[(match?.[2] ?? "s") as keyof typeof unitSeconds];
  if (match === null || seconds > secondsMax) {
    throw usageError(`${option} is ${JSON.stringify(text)}, which is not a duration`, durationHint);
  }
  return seconds;
}

/** The same in whole days. */
export function parseDays(text: string, option: string): number {
  const seconds = parseDuration(text, option);
  if (seconds % secondsPerDay !== 0) {
    throw usageError(`${option} is ${JSON.stringify(text)}, and counts whole days`, "write it as 30d or 4w");
  }
  return seconds / secondsPerDay;
}

/** A moment: ISO 8601, or a duration back from now. */
export function parseMoment(text: string, option: string, now = new Date()): Date {
  if (/^\d+[smhdw]$/.test(text)) return new Date(now.getTime() - parseDuration(text, option) * 1000);
  const moment = /^\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?$/.test(text)
    ? new Date(text)
    : undefined;
  if (moment === undefined || Number.isNaN(moment.getTime())) {
    throw usageError(
      `${option} is ${JSON.stringify(text)}, which is not a moment`,
      "write 2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 15m, 1h, 90d",
    );
  }
  return moment;
}

/** A moment to come: ISO 8601, or a duration from now. */
export function parseComing(text: string, option: string, now = new Date()): Date {
  if (/^\d+[smhdw]$/.test(text)) return new Date(now.getTime() + parseDuration(text, option) * 1000);
  const moment = /^\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?$/.test(text)
    ? new Date(text)
    : undefined;
  if (moment === undefined || Number.isNaN(moment.getTime())) {
    throw usageError(
      `${option} is ${JSON.stringify(text)}, which is not a moment`,
      "write 2027-01-31, 2027-01-31T12:00:00Z, or how long from now: 15m, 1h, 90d",
    );
  }
  return moment;
}

/** A moment that has not come: ISO 8601, or a duration from now on. */
export function parseComingMoment(text: string, option: string, now = new Date()): Date {
  const moment = /^\d+[smhdw]$/.test(text)
    ? new Date(now.getTime() + parseDuration(text, option) * 1000)
    : parseMoment(text, option, now);
  if (moment > now) return moment;
  throw usageError(
    `${option} is ${JSON.stringify(text)}, which lies in the past`,
    "write 2027-01-01, or in how long: 30d",
  );
}

export interface KeyReference {
  /** `keyring/key`. */
  name: string;
  /** 0 where none was given. */
  version: number;
}

/** `R/K`, or `R/K@N` where a version makes sense. */
export function parseKeyReference(text: string, version: "none" | "optional" | "required"): KeyReference {
  const [name = "", number, ...rest] = text.split("@");
  const shape = {
    none: "keyring/key",
    optional: "keyring/key or keyring/key@version",
    required: "keyring/key@version",
  };
  const parts = name.split("/");
  const isName = parts.length === 2 && parts.every((part) => partPattern.test(part));
  const isVersion = number === undefined || /^[1-9]\d{0,8}$/.test(number);
  const fits = version === "optional" || (number !== undefined) === (version === "required");
  if (!isName || !isVersion || !fits || rest.length > 0) {
    throw usageError(
      `${JSON.stringify(text.slice(0, 140))} is not ${shape[version]}`,
      "names have lower-case letters, digits, dots, dashes and underscores: payments/cards",
    );
  }
  return { name, version: number === undefined ? 0 : Number(number) };
}

export function formatKeyReference({ name, version }: KeyReference): string {
  return version === 0 ? name : `${name}@${version}`;
}

export function parseWholeNumber(
  text: string,
  what: string,
  { min, max }: { min: number; max: number },
): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max)) {
    throw usageError(`${what} is ${JSON.stringify(text)}`, `it must be a whole number from ${min} to ${max}`);
  }
  return number;
}

export function parseChoice<T extends string>(text: string, what: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) {
    throw usageError(`${what} is ${JSON.stringify(text)}`, `it must be one of ${choices.join(", ")}`);
  }
  return choice;
}
