import fc from "fast-check";
import { expect, test } from "vitest";
import { type AccessPolicy, checkChange, differenceOf, digestOf, policyAfter } from "./policy-change.ts";

const domain = "claviger.local";
const none = {
  scope: "*",
  complete: false,
  bindings: [],
  removedBindings: [],
  groups: [],
  addedMembers: [],
  removedMembers: [],
};
const identities = ["a", "b", "c"].map((name) => `spiffe://${domain}/workload/${name}`);
const binding = fc.record({
  role: fc.constantFrom("user", "auditor"),
  identity: fc.constantFrom(...identities, "group:g"),
  resource: fc.constantFrom("*", "r", "r/k", "s"),
  condition: fc.constantFrom("", "now.getHours() > 1"),
});
const place = ({ identity, resource, role }: { identity: string; resource: string; role: string }) =>
  `${identity} ${resource} ${role}`;
const bindings = fc.uniqueArray(binding, { selector: place, maxLength: 8 });
const members = fc.uniqueArray(
  fc.record({ group: fc.constantFrom("g", "h"), identity: fc.constantFrom(...identities) }),
  { selector: ({ group, identity }) => `${group} ${identity}` },
);
const policies = fc.record({ bindings, members });

const sorted = (policy: AccessPolicy) => digestOf(policy).toString("hex");

test("a complete policy makes what it says of whatever there was, and a second time changes nothing", () => {
  fc.assert(
    fc.property(policies, policies, (before, wanted) => {
      const groups = ["g", "h"].map((name) => ({
        name,
        members: wanted.members.filter(({ group }) => group === name).map(({ identity }) => identity),
      }));
      const change = checkChange({ ...none, complete: true, bindings: wanted.bindings, groups }, domain);
      const after = policyAfter(before, differenceOf(before, change));
      expect(sorted(after)).toBe(sorted(wanted));
      expect(Object.values(differenceOf(after, change)).flat()).toEqual([]);
    }),
  );
});

test("a policy of one keyring leaves what is beside it", () => {
  fc.assert(
    fc.property(policies, bindings, (before, wanted) => {
      const within = wanted.filter(({ resource }) => resource.startsWith("r"));
      const change = checkChange({ ...none, scope: "r", complete: true, bindings: within }, domain);
      const after = policyAfter(before, differenceOf(before, change));
      const beside = (policy: AccessPolicy) =>
        policy.bindings.filter(({ resource }) => !resource.startsWith("r"));
      expect(beside(after)).toEqual(beside(before));
      expect(after.members).toEqual(before.members);
    }),
  );
});

test("what is in a policy twice, or outside of its scope, is refused, also where there is much of it", () => {
  const row = { role: "user", identity: identities[0]!, resource: "s", condition: "" };
  expect(() =>
    checkChange({ ...none, bindings: [row, { ...row, condition: "now.getHours() > 1" }] }, domain),
  ).toThrow("twice");
  expect(() => checkChange({ ...none, scope: "r", bindings: [row] }, domain)).toThrow("outside");
  const many = Array.from({ length: 10_001 }, (_, at) => ({ ...row, resource: `r/${at}` }));
  const began = performance.now();
  expect(() => checkChange({ ...none, bindings: many }, domain)).toThrow("at most 10000");
  expect(performance.now() - began).toBeLessThan(2000);
});
