/** A protobuf timestamp, without the library that knows it: this is on the way of every command. */
export interface TimestampLike {
  seconds: bigint;
  nanos: number;
}

/**
 * A message as the JSON of our contract: times as ISO strings, 64-bit integers as numbers, bytes as
 * base64, absent fields left out.
 */
export function plainOf(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plainOf);
  if (typeof value !== "object" || value === null) return value;
  if ("$typeName" in value && value.$typeName === "google.protobuf.Timestamp") {
    return isoTime(value as unknown as TimestampLike);
  }
  const fields = Object.entries(value).filter(
    ([name, field]) => !name.startsWith("$") && field !== undefined,
  );
  return Object.fromEntries(fields.map(([name, field]) => [name, plainOf(field)]));
}

export function dateOf(timestamp: TimestampLike): Date {
  return new Date(Number(timestamp.seconds) * 1000 + Math.trunc(timestamp.nanos / 1_000_000));
}

export function isoTime(timestamp: TimestampLike): string {
  return dateOf(timestamp).toISOString();
}

/** To the second, as tables show it. */
export function shortTime(timestamp: TimestampLike | undefined): string {
  return timestamp === undefined ? "" : isoTime(timestamp).replace(/\.\d+Z$/, "Z");
}

/** The day alone. */
export function isoDate(timestamp: TimestampLike | undefined): string {
  return timestamp === undefined ? "" : isoTime(timestamp).slice(0, 10);
}

/** `in 29 d` or `3 h ago`, beside a time. */
export function relativeTime(timestamp: TimestampLike, now = new Date()): string {
  const seconds = Math.round((dateOf(timestamp).getTime() - now.getTime()) / 1000);
  const size = Math.abs(seconds);
  const [unit, length] =
    size < 120 ? ["s", 1] : size < 7200 ? ["min", 60] : size < 172_800 ? ["h", 3600] : ["d", 86_400];
  const amount = `${Math.floor(size / (length as number))} ${unit}`;
  return seconds >= 0 ? `in ${amount}` : `${amount} ago`;
}
