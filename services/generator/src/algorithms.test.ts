import { expect, test } from "vitest";
import { algorithms, checkAlgorithm, checkProtection } from "./algorithms.ts";

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
  for (const row of Object.values(algorithms)) expect(row.approvedBy).toMatch(/FIPS|SP 800/);
});
