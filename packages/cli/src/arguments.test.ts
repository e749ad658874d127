import { describe, expect, it } from "vitest";
import { parseComingMoment, parseDays, parseDuration, parseKeyReference, parseMoment } from "./arguments.ts";

const usage = expect.objectContaining({ kind: "invalid-argument" });

describe("a duration", () => {
  it.each([
    ["30s", 30],
    ["15m", 900],
    ["1h", 3600],
    ["90d", 7_776_000],
    ["4w", 2_419_200],
  ])("%s is read", (text, seconds) => expect(parseDuration(text, "--ttl")).toBe(seconds));

  it.each(["", "0d", "1", "d", "1y", "-1d", "1.5h", "1 h", "1h30m", "99999999999d", "5000000000w"])(
    "is not %j",
    (text) => expect(() => parseDuration(text, "--ttl")).toThrow(usage),
  );

  it("in days is of whole days", () => {
    expect(parseDays("48h", "--destroy-after")).toBe(2);
    expect(() => parseDays("36h", "--destroy-after")).toThrow(usage);
  });
});

describe("a moment", () => {
  const now = new Date("2026-02-01T00:00:00Z");

  it("is a date, a time, or how long ago", () => {
    expect(parseMoment("2026-01-31", "--since", now).toISOString()).toBe("2026-01-31T00:00:00.000Z");
    expect(parseMoment("2026-01-31T12:00:00+02:00", "--since", now).toISOString()).toBe(
      "2026-01-31T10:00:00.000Z",
    );
    expect(parseMoment("1d", "--since", now).toISOString()).toBe("2026-01-31T00:00:00.000Z");
  });

  it.each(["yesterday", "2026-13-01", "2026", "1700000000"])("is not %j", (text) =>
    expect(() => parseMoment(text, "--since", now)).toThrow(usage),
  );
});

describe("a key's name on the line", () => {
  it("may have a version where one makes sense", () => {
    expect(parseKeyReference("r/k", "optional")).toEqual({ name: "r/k", version: 0 });
    expect(parseKeyReference("r/k@12", "optional")).toEqual({ name: "r/k", version: 12 });
    expect(parseKeyReference("r/k@12", "required")).toEqual({ name: "r/k", version: 12 });
    expect(() => parseKeyReference("r/k@12", "none")).toThrow(usage);
    expect(() => parseKeyReference("r/k", "required")).toThrow(usage);
  });

  it.each(["", "r", "r/", "/k", "r/k/x", "R/k", "r/k@", "r/k@0", "r/k@x", "r/k@1@2", "../k", "r/k "])(
    "is not %j",
    (text) => expect(() => parseKeyReference(text, "optional")).toThrow(usage),
  );
});

describe("a moment to come", () => {
  const now = new Date("2026-06-01T00:00:00Z");
  it("is a day, or how long it takes until then", () => {
    expect(parseComingMoment("2027-01-01", "--from", now)).toEqual(new Date("2027-01-01T00:00:00Z"));
    expect(parseComingMoment("30d", "--from", now)).toEqual(new Date("2026-07-01T00:00:00Z"));
  });
  it("is refused where it has passed", () => {
    expect(() => parseComingMoment("2026-05-31", "--from", now)).toThrow("lies in the past");
  });
});
