import { expect, test } from "vitest";
import { createRowSealer } from "./index.ts";

const sealer = createRowSealer(Buffer.alloc(32, 7));
const row = { id: "1", state: "active", at: new Date("2026-01-01T00:00:00Z"), version: 3, note: null };

test("a seal fits its own row and no row that differs in any field", () => {
  const seal = sealer.seal("keys", row);
  expect(() => sealer.check("keys", "payments/card", row, seal)).not.toThrow();
  const changes = [{ state: "suspended" }, { at: new Date(0) }, { version: 4 }, { note: "" }, { id: "2" }];
  for (const change of changes) {
    expect(() => sealer.check("keys", "payments/card", { ...row, ...change }, seal)).toThrow("payments/card");
  }
});

test("a seal of one table or one key does not fit another", () => {
  const seal = sealer.seal("keys", row);
  expect(() => sealer.check("holds", "x", row, seal)).toThrow("holds");
  const other = createRowSealer(Buffer.alloc(32, 8));
  expect(() => other.check("keys", "x", row, seal)).toThrow("changed outside");
});

test("values cannot slide from one field to the next", () => {
  const seal = sealer.seal("keys", { a: "xy", b: "z" });
  expect(() => sealer.check("keys", "x", { a: "x", b: "yz" }, seal)).toThrow("changed outside");
});

test("the vector of docs/formats.md", () => {
  const seal = sealer.seal("role_bindings", { id: "b1", role: "user" });
  expect(seal.toString("hex")).toMatchInlineSnapshot(
    `"013452cce2224248d0fd3b8c09553dff8eb1441c30cba569c97139b9195394271e"`,
  );
});
