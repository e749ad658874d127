import { expect, test } from "vitest";
import { decideTrust as decide } from "./trust.ts";

const since = new Date(1000);
const decideTrust = (rows: Parameters<typeof decide>[0], digest: string, service: string) =>
  decide(rows, service, { digest, since, generation: 1 });
const names = ["storage", "generator", "distribution", "rotation", "audit", "nats"];
const row = (
  service: string,
  renewed = false,
  bundleSha256 = "new",
  bootstrapDropped = false,
  seenAt = new Date(2000),
  issuerGeneration = 1,
) => ({
  service,
  bundleSha256,
  renewed,
  bootstrapDropped,
  seenAt,
  issuerGeneration,
});

test("nobody renews before everybody trusts the bundle", () => {
  const rows = names.map((name) => row(name, false, name === "audit" ? "" : "new"));
  for (const name of names) expect(decideTrust(rows, "new", name).renewNow).toBe(false);
  expect(decideTrust(rows, "new", "storage").waitingFor).toEqual(["audit"]);
  const all = names.map((name) => row(name));
  expect(decideTrust(all, "new", "storage").renewNow).toBe(true);
});

test("nobody drops the bootstrap CA before everybody has renewed", () => {
  const rows = names.map((name) => row(name, name !== "nats"));
  expect(decideTrust(rows, "new", "storage")).toMatchObject({
    renewNow: false,
    dropBootstrap: false,
    waitingFor: ["nats"],
  });
  expect(decideTrust(rows, "new", "nats").renewNow).toBe(true);
  const all = names.map((name) => row(name, true));
  expect(decideTrust(all, "new", "storage")).toMatchObject({ dropBootstrap: true, settled: false });
});

test("a part that never reported holds everybody back", () => {
  const rows = names.slice(1).map((name) => row(name, true));
  expect(decideTrust(rows, "new", "generator").dropBootstrap).toBe(false);
});

test("who has dropped it is done", () => {
  const rows = names.map((name) => row(name, true, "new", true));
  expect(decideTrust(rows, "new", "storage").settled).toBe(true);
});

test("what was seen before this process started does not say that a part has renewed", () => {
  const rows = names.map((name) => row(name, true, "new", false, new Date(name === "audit" ? 500 : 2000)));
  expect(decideTrust(rows, "new", "storage")).toMatchObject({ dropBootstrap: false, waitingFor: ["audit"] });
});

test("once another generation signs, everybody renews who has the bundle that it came with", () => {
  const target = { digest: "new", since, generation: 2 };
  const renewed = (name: string) => row(name, true, "new", true, new Date(2000), 2);
  const rows = names.map((name) => (name === "audit" ? row(name, true, "new", true) : renewed(name)));
  expect(decide(rows, "audit", target)).toMatchObject({ renewNow: true, settled: false });
  expect(decide(rows, "storage", target)).toMatchObject({
    renewNow: false,
    settled: true,
    waitingFor: ["audit"],
  });
});
