import { expect, test } from "vitest";
import { requireFit } from "./profile.ts";

test("production refuses SoftHSM and the default trust domain, and names both at once", () => {
  const found = { hsm: "SoftHSM v2 2.6", trustDomain: "claviger.internal" };
  expect(() => requireFit("production", found)).toThrow(/SoftHSM[\s\S]*claviger\.internal/);
  expect(() => requireFit("development", found)).not.toThrow();
  expect(() => requireFit("production", { hsm: "Luna K7 7.4", custodyChosen: false })).toThrow("custody");
  expect(() => requireFit("development", { hsm: "Luna K7 7.4", custodyChosen: false })).not.toThrow();
  expect(() => requireFit("production", { hsm: "Luna K7 7.4", trustDomain: "example.org" })).not.toThrow();
});
