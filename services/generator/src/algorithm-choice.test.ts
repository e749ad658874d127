import { expect, test } from "vitest";
import { checkAlgorithm, checkNewAlgorithm, checkProtection } from "./algorithm-choice.ts";
import { algorithms } from "./algorithms.ts";
import { algorithmsDocument } from "./algorithms-document.ts";

test("what is not served is refused with what to use instead", () => {
  const refusal = (name: string) => {
    try {
      checkAlgorithm(name);
    } catch (error) {
      return error as { message: string; hint: string };
    }
    throw new Error(`${name} was accepted`);
  };
  expect(refusal("3des")).toMatchObject({
    message: expect.stringContaining("SP 800-131A"),
    hint: "use aes-256-gcm",
  });
  expect(refusal("aes-256-ecb").hint).toBe("use aes-256-gcm");
  expect(refusal("secp256k1").hint).toBe("use ecdsa-p256");
  expect(refusal("RSA-1024").hint).toBe("use ecdsa-p256");
  for (const name of [
    "",
    "toString",
    "__proto__",
    "constructor",
    "aes-256-gcm ",
    "AES-256-GCM",
    "x".repeat(999),
  ]) {
    expect(refusal(name).hint).toContain("aes-256-gcm");
    expect(refusal(name).message.length).toBeLessThan(120);
  }
});

test("protection is software unless it is said", () => {
  expect(checkProtection("")).toBe("software");
  expect(checkProtection("hsm")).toBe("hsm");
  expect(() => checkProtection("external")).toThrow("protection");
});

test("each algorithm names the standard that approves it", () => {
  for (const row of Object.values(algorithms)) expect(row.approvedBy).toMatch(/FIPS|SP 800|RFC/);
});

test("a legacy algorithm is for new keys only where it is admitted, and until its day", () => {
  const now = new Date("2026-11-24T00:00:00Z");
  expect(checkNewAlgorithm("rsa-pss-3072", { admitLegacy: false, now })).toBe("rsa-pss-3072");
  expect(() => checkNewAlgorithm("rsa-pss-2048", { admitLegacy: false, now })).toThrow(
    "legacy until 2030-12-31",
  );
  expect(checkNewAlgorithm("rsa-pss-2048", { admitLegacy: true, now })).toBe("rsa-pss-2048");
  const later = new Date("2031-01-01T00:00:00Z");
  expect(() => checkNewAlgorithm("rsa-pss-2048", { admitLegacy: true, now: later })).toThrow("legacy since");
});

test("docs/algorithms.md says what the table says", async () => {
  await expect(algorithmsDocument()).toMatchFileSnapshot("../../../docs/algorithms.md");
});
