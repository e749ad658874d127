import { afterEach, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { insist, killPart, type Part, untilAllRun } from "./workload.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const keysMade = 120;

afterEach(() => untilAllRun(house));

/** The supervisor takes a moment to notice a death. */
function runsAnew(part: Part, killed: number): boolean {
  try {
    return house.pidOf(part) !== killed;
  } catch {
    return false;
  }
}

test("a keyring's move to its new key is finished, and loses nothing, however often it is killed", {
  timeout: 180_000,
}, async () => {
  const ring = unique("moved");
  await insist(() => keyrings.createKeyring({ name: ring }));
  const ciphertexts = new Map<string, Uint8Array>();
  for (let at = 0; at < keysMade; at += 1) {
    const name = `${ring}/k${at}`;
    const protection = at % 2 === 0 ? "software" : "hsm";
    await insist(() => keyGeneration.createKey({ name, algorithm: "aes-256-gcm", protection }));
    const { ciphertext } = await insist(() => cryptography.encrypt({ name, plaintext: Buffer.from(name) }));
    ciphertexts.set(name, ciphertext);
  }
  await insist(() => keyrings.rotateKeyring({ name: ring }));
  for (const part of ["generator", "storage", "generator", "postgresql"] as const) {
    const killed = house.pidOf(part);
    killPart(house, part);
    await until(() => runsAnew(part, killed), 30_000);
    await untilAllRun(house);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 100));
  }
  await until(async () => {
    const { keyring } = await insist(() => keys.getKeyring({ name: ring }));
    return keyring!.generations[0]!.destroyedAt !== undefined;
  }, 60_000);
  for (const [name, ciphertext] of ciphertexts) {
    const { plaintext } = await insist(() => cryptography.decrypt({ name, ciphertext }));
    expect(Buffer.from(plaintext).toString()).toBe(name);
  }
});
