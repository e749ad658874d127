import { isDomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileCondition } from "./condition-language.ts";
import { type ConditionFacts, conditionValue } from "./condition-value.ts";

const facts: ConditionFacts = {
  permission: "keys.encrypt",
  resource: "payments/cards",
  caller: {
    id: "spiffe://claviger.local/workload/billing",
    kind: "workload",
    name: "billing",
    groups: ["batch"],
  },
  key: {
    keyring: "payments",
    name: "cards",
    purpose: "encrypt-decrypt",
    algorithm: "aes-256-gcm",
    protection: "hsm",
    exportable: false,
    owner: "spiffe://claviger.local/user/administrator",
    labels: { team: "billing" },
  },
};
const at = (moment: string) => new Date(moment);
const noon = at("2026-03-02T12:00:00Z");
const value = (text: string, now = noon, of = facts) => conditionValue(compileCondition(text), of, now);

function refusal(text: string): string {
  try {
    compileCondition(text);
  } catch (error) {
    if (isDomainError(error, "invalid-argument")) return error.message;
    throw error;
  }
  throw new Error(`"${text.slice(0, 50)}" was taken`);
}

test.each([
  ['permission == "keys.encrypt"', true],
  ['permission in ["keys.decrypt", "keys.sign"]', false],
  ['key.labels["team"] == "billing"', true],
  ['key.labels.team == "sales"', false],
  ['"team" in key.labels', true],
  ['"stage" in key.labels && key.labels["stage"] == "test"', false],
  ['key.labels["stage"] == "test"', false],
  ['"toString" in key.labels || "__proto__" in key.labels', false],
  ['caller.kind == "workload" && "batch" in caller.groups', true],
  ['key.purpose == "encrypt-decrypt" && key.protection == "hsm" && !key.exportable', true],
  ['resource.startsWith("payments/") && key.algorithm.contains("256")', true],
  ["now.getHours() >= 8 && now.getHours() < 18", true],
  ['now.getHours("America/New_York") >= 8', false],
  ['now < timestamp("2026-03-02T12:00:01Z")', true],
  ['now - timestamp("2026-03-01T12:00:00Z") <= duration("24h")', true],
])("%s is %s", (text, holds) => {
  expect(value(text).holds).toBe(holds);
});

test.each([
  ['caller.nme == "x"', 'at character 8, "nme": no such key: nme'],
  ["permission == 3", 'at character 1, "permission == 3": no such overload: string == int'],
  ["now <", "at character 6, its end: unexpected token"],
  ["permission", "it is of type string"],
  ["true", "asks about nothing"],
  ['now < timestamp("tomorrow")', 'at character 7, "timestamp("tomorrow")"'],
  ['now < timestamp("2026-02-30T00:00:00Z")', 'timestamp takes a text such as "2026-12-31T18:00:00Z"'],
  [`now - now < duration("${"9".repeat(30)}h")`, 'duration takes a text such as "1h30m"'],
  ["permission == '\u202e'", "at character 16"],
  ["now < timestamp(permission)", "a text that is written here"],
  ['now.getHours("Mars/Olympus") > 3', "not a time zone"],
  ['permission.matches("(a+)+$")', "there is no method matches here"],
  ['caller.groups.exists(g, g == "x")', "there is no method exists here"],
  ["[1].map(x, x).size() > 0 && now.getHours() > 1", "there is no method map here"],
  ['cel.bind(x, permission + permission, x == "")', "there is no method bind here"],
  ["dyn(permission) == 3", "there is no function dyn here"],
  ["now.getMilliseconds() == 1", "there is no method getMilliseconds here"],
  ['{permission: 1}["x"] == 1', "map is not for conditions"],
  ['b"a" == b"a" || permission == ""', "bytes are not for conditions"],
  ["key.constructor == permission", "no such key: constructor"],
  ["__proto__ == permission", "reserved identifier"],
  ["unknown == permission", "unknown variable: unknown"],
])("%s is refused, saying where and why", (text, why) => {
  expect(refusal(text).toLowerCase()).toContain(why.toLowerCase());
});

test("what is huge, deep or long is refused within milliseconds", () => {
  const hostile = [
    `permission == "${"a".repeat(1_000_000)}"`,
    `${"(".repeat(900)}permission == ""${")".repeat(900)}`,
    `${"!".repeat(2000)}(permission == "")`,
    `permission == ""${'&&permission==""'.repeat(120)}`,
    `permission in [${'"a",'.repeat(400)}"b"]`,
    `${"caller.".repeat(290)}id == ""`,
    `${"true?".repeat(300)}true`,
    `${"-".repeat(2000)}1 == size(permission)`,
  ];
  const began = performance.now();
  for (const text of hostile) expect(refusal(text)).toContain("the condition is refused");
  expect(performance.now() - began).toBeLessThan(500);
});

test("whatever is written is taken or refused with a message, and what is taken has a value in bounded time", () => {
  const words = fc.constantFrom(
    ..."now permission resource caller.groups caller.name key.purpose ( ) [ ] && || ! == != < <= + - in ? : , . size timestamp duration getHours getSeconds".split(
      " ",
    ),
    '"a"',
    '"2026-01-01T00:00:00Z"',
    "1",
    "1.5",
    "true",
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
      let condition: ReturnType<typeof compileCondition>;
      try {
        condition = compileCondition(parts.join(" "));
      } catch (error) {
        expect(isDomainError(error, "invalid-argument")).toBe(true);
        return;
      }
      const began = performance.now();
      expect(typeof conditionValue(condition, facts, noon).holds).toBe("boolean");
      expect(performance.now() - began).toBeLessThan(200);
    }),
    { numRuns: 3000 },
  );
});

test("what asks about a key is no where there is none, and says so", () => {
  const nothing = { ...facts, resource: "payments/new", key: undefined };
  expect(value('key.purpose == "x"', noon, nothing)).toMatchObject({
    holds: false,
    text: "payments/new is not a key that there is",
  });
  // As CEL says: one side decides where it can.
  expect(value('key.purpose == "x" || permission == "keys.encrypt"', noon, nothing).holds).toBe(true);
  expect(value('!(key.purpose == "x")', noon, nothing).holds).toBe(false);
});

test("a value stays what it is until the moment that changes it, and not longer", () => {
  const left = (text: string, now: string) => value(text, at(now)).unchangedMilliseconds;
  expect(left('permission == "keys.encrypt"', "2026-03-02T12:00:00Z")).toBeUndefined();
  expect(left('now < timestamp("2026-03-02T12:00:07Z")', "2026-03-02T12:00:04.250Z")).toBe(2750);
  expect(left('now <= timestamp("2026-03-02T12:00:07Z")', "2026-03-02T12:00:04Z")).toBe(4000);
  expect(left('now < timestamp("2027-01-01T00:00:00Z")', "2026-03-02T12:00:00Z")).toBe(60_000);
  expect(left("now.getHours() < 18", "2026-03-02T17:59:57.500Z")).toBe(2500);
  expect(left("now.getHours() < 18", "2026-03-02T17:30:57.500Z")).toBe(60_000);
  expect(left("now.getSeconds() < 30", "2026-03-02T12:00:25.900Z")).toBe(4100);
  // A no as well.
  expect(left("now.getHours() >= 18", "2026-03-02T17:59:59Z")).toBe(1000);
});

test("no moment within the time that an answer is said to hold has another value", () => {
  const conditions = [
    "now.getSeconds() % 7 < 3",
    'now < timestamp("2026-03-02T12:00:31.5Z") || now > timestamp("2026-03-02T12:00:40Z")',
    "now.getMinutes() == 0",
    'now.getHours("Asia/Kolkata") == 17 && now.getMinutes("Asia/Kolkata") == 30',
    'now + duration("90s") > timestamp("2026-03-02T12:02:00Z")',
    '[now, timestamp("2026-03-02T12:00:20Z")][0] < timestamp("2026-03-02T12:00:20Z")',
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...conditions),
      fc.integer({ min: -60_000, max: 120_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (text, offset, part) => {
        const now = new Date(noon.getTime() + offset);
        const { holds, unchangedMilliseconds = 0 } = value(text, now);
        const later = new Date(now.getTime() + Math.floor(unchangedMilliseconds * part));
        expect(value(text, later).holds).toBe(holds);
      },
    ),
    { numRuns: 2000 },
  );
});
