import { parseIdentity } from "@claviger/identity";
import { expect, test } from "vitest";
import { covers, decideForCaller, decideForService } from "./access-rules.ts";
import { roles } from "./roles.ts";

const alice = parseIdentity("spiffe://claviger.local/user/alice");
const service = (name: string) => parseIdentity(`spiffe://claviger.local/claviger/${name}`);
const bind = (role: string, resource: string) => [
  { id: "b", role, identity: alice.uri, resource, condition: "" },
];
const never = () => false;

test("a binding on a keyring covers its keys and not a keyring whose name begins alike", () => {
  expect(covers("pay", "pay/card")).toBe(true);
  expect(covers("pay", "payments/card")).toBe(false);
  expect(covers("pay/card", "pay")).toBe(false);
  expect(covers("pay/card", "pay/card-2")).toBe(false);
  expect(covers("*", "anything/at-all")).toBe(true);
});

test("an administrator looks at system keys and cannot use, destroy or rotate them", () => {
  for (const permission of ["keys.sign", "keys.encrypt", "keys.destroy", "keys.rotate", "keys.create"]) {
    expect(decideForCaller(alice, permission, "system/ca-root", bind("administrator", "*")).allowed).toBe(
      false,
    );
  }
  expect(decideForCaller(alice, "keys.get", "system/ca-root", bind("administrator", "*")).allowed).toBe(true);
});

test("an auditor reads and uses nothing, a user uses and changes nothing", () => {
  const using = ["keys.encrypt", "keys.decrypt", "keys.sign", "random.generate"];
  for (const permission of using) {
    expect(decideForCaller(alice, permission, "r/k", bind("auditor", "*")).allowed).toBe(false);
    expect(decideForCaller(alice, permission, "r/k", bind("user", "r")).allowed).toBe(true);
  }
  for (const permission of ["keys.create", "keys.rotate", "keys.destroy", "access.grant", "audit.read"]) {
    expect(decideForCaller(alice, permission, "r/k", bind("user", "*")).allowed).toBe(false);
  }
  expect(
    roles.auditor.permissions.some((permission) => /create|grant|destroy|sign|crypt/.test(permission)),
  ).toBe(false);
});

test("a role that does not exist permits nothing", () => {
  for (const role of ["superuser", "toString", "__proto__", "constructor"]) {
    expect(decideForCaller(alice, "keys.get", "r/k", bind(role, "*")).allowed).toBe(false);
  }
});

test("services act under grants for named keys alone", () => {
  expect(decideForService(service("distribution"), "keys.sign", "system/ca-issuing", never).allowed).toBe(
    true,
  );
  expect(
    decideForService(service("distribution"), "keys.sign", "system/audit-checkpoint", never).allowed,
  ).toBe(false);
  expect(decideForService(service("distribution"), "keys.sign", "payments/ca-1", never).allowed).toBe(false);
  expect(decideForService(service("storage"), "keys.decrypt", "payments/card", never).allowed).toBe(false);
  expect(decideForService(service("audit"), "keys.sign", "system/audit-checkpoint", never).allowed).toBe(
    false,
  );
});

test("rotation rotates only what is due", () => {
  expect(decideForService(service("rotation"), "keys.rotate", "r/k", never).allowed).toBe(false);
  expect(decideForService(service("rotation"), "keys.rotate", "r/k", () => true).allowed).toBe(true);
});

test("of several roles that permit, the one that does so for longest decides; a no is until the first that might", () => {
  const until = (id: string, condition: string) => ({ ...bind("user", "r")[0]!, id, condition });
  const values: Record<string, { holds: boolean; unchangedMilliseconds: number | undefined }> = {
    short: { holds: true, unchangedMilliseconds: 500 },
    long: { holds: true, unchangedMilliseconds: 9000 },
    "no for 700": { holds: false, unchangedMilliseconds: 700 },
    "no for ever": { holds: false, unchangedMilliseconds: undefined },
  };
  const decide = (...conditions: string[]) =>
    decideForCaller(
      alice,
      "keys.sign",
      "r/k",
      conditions.map((condition) => until(condition, condition)),
      ({ condition }) => ({ ...values[condition]!, text: "" }),
    );
  expect(decide("no for 700", "short", "long", "no for ever")).toMatchObject({
    allowed: true,
    binding: { id: "long" },
    unchangedMilliseconds: 9000,
  });
  expect(decide("short", "")).toMatchObject({ allowed: true, binding: { id: "" } });
  expect(decide("short", "").unchangedMilliseconds).toBeUndefined();
  const no = decide("no for ever", "no for 700");
  expect(no).toMatchObject({ allowed: false, unchangedMilliseconds: 700 });
});

test("what gives others power is given under no condition, however true", () => {
  const holds = () => ({ holds: true, text: "true", unchangedMilliseconds: undefined });
  const binding = { ...bind("administrator", "*")[0]!, condition: "now.getHours() >= 0" };
  const may = (permission: string) => decideForCaller(alice, permission, "*", [binding], holds).allowed;
  expect(may("keys.destroy")).toBe(true);
  expect(may("access.grant")).toBe(false);
  expect(may("identities.enroll")).toBe(false);
  expect(may("authorities.manage")).toBe(false);
  expect(may("exchange.manage")).toBe(false);
});
