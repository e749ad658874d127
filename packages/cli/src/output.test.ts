import { describe, expect, it } from "vitest";
import { mergeDependencies } from "./commands/status.ts";
import { printable, table } from "./output.ts";
import { plainOf } from "./plain.ts";

describe("a table", () => {
  it("fits 100 columns, however long its cells are", () => {
    const rows = [["short", "x".repeat(150), "y".repeat(90)]];
    for (const line of table(["A", "B", "C"], rows, "").split("\n"))
      expect(line.length).toBeLessThanOrEqual(100);
  });

  it("says what to do where it would be empty", () =>
    expect(table(["A"], [], "nothing yet")).toBe("nothing yet"));

  it("lets no service move the cursor or colour the terminal", () => {
    expect(printable("a\u001b[31mred\r\n\u202e")).toBe("a\ufffd[31mred\ufffd\ufffd\ufffd");
  });
});

describe("a message as JSON", () => {
  it("has times as ISO strings, large integers as numbers, bytes as base64, and no absent fields", () => {
    const time = { $typeName: "google.protobuf.Timestamp", seconds: 1_767_225_600n, nanos: 5_000_000 };
    const message = {
      $typeName: "x.Key",
      $unknown: [],
      time,
      none: undefined,
      big: 7n,
      bytes: Uint8Array.of(1),
      list: [time],
    };
    expect(plainOf(message)).toEqual({
      time: "2026-01-01T00:00:00.005Z",
      big: 7,
      bytes: "AQ==",
      list: ["2026-01-01T00:00:00.005Z"],
    });
  });
});

describe("dependencies", () => {
  it("are listed once each, as bad as the worst report", () => {
    const report = (name: string, state: string) => ({ name, state, version: "", detail: "" });
    const merged = mergeDependencies([
      report("nats", "ok"),
      report("hsm", "degraded"),
      report("nats", "unavailable"),
    ]);
    expect(merged).toEqual([report("hsm", "degraded"), report("nats", "unavailable")]);
  });
});
