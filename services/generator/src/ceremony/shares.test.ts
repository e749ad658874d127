import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { combineShares, splitRecoveryKey } from "./shares.ts";

const bytes = () => Uint8Array.from({ length: 32 }, (_, at) => at);

test("any two of three shares give the recovery key, one does not", async () => {
  const shares = await splitRecoveryKey(SecretBytes.take(bytes()), { threshold: 2, shares: 3 });
  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [2, 1],
  ] as const) {
    const key = await combineShares([shares[a]!, shares[b]!]);
    expect([...key.expose()]).toEqual([...bytes()]);
  }
  await expect(combineShares([shares[0]!])).rejects.toThrow("2 different shares");
  await expect(combineShares([shares[0]!, shares[0]!])).rejects.toThrow("2 different shares");
});

test("a damaged share is named, a foreign one is told apart", async () => {
  const shares = await splitRecoveryKey(SecretBytes.take(bytes()), { threshold: 2, shares: 3 });
  const foreign = await splitRecoveryKey(SecretBytes.take(new Uint8Array(32).fill(9)), {
    threshold: 2,
    shares: 3,
  });
  const damaged = shares[1]!.replace(/value: (.)/, (_, c: string) => `value: ${c === "A" ? "B" : "A"}`);
  await expect(combineShares([shares[0]!, damaged])).rejects.toThrow("share 2 is damaged");
  await expect(combineShares([shares[0]!, foreign[1]!])).rejects.toThrow("different recovery keys");
});

test("custody of one share is refused", async () => {
  const key = SecretBytes.take(bytes());
  await expect(splitRecoveryKey(key, { threshold: 1, shares: 3 })).rejects.toThrow("threshold");
});
