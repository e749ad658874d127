import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { services } from "./attacker.ts";
import { countInMemory } from "./memory-scan.ts";

const house = useInstallation();
const ring = unique("memory");
const parts = [...services, "nats", "postgresql"] as const;
const leaseMilliseconds = 10_000;

beforeAll(async () => {
  await house.claviger.keyrings.createKeyring({ name: ring });
});

/**
 * Imports in a process of its own, which ends: this one never holds the key whole in one piece, so that
 * what is found is Claviger's.
 */
async function importIn(name: string, masked: Buffer, mask: Buffer): Promise<void> {
  const program = `
    import { createClaviger, importKey } from ${JSON.stringify(join(import.meta.dirname, "../../packages/client/src/index.ts"))};
    import { SecretBytes } from ${JSON.stringify(join(import.meta.dirname, "../../packages/secret-bytes/src/index.ts"))};
    const [config, name, masked, mask] = process.argv.slice(1);
    const material = SecretBytes.take(Buffer.from(masked, "hex")).mix(SecretBytes.take(Buffer.from(mask, "hex")));
    using claviger = createClaviger({ config });
    await importKey(claviger, { name, algorithm: "aes-256-gcm" }, material);
    material[Symbol.dispose]();`;
  const child = spawn(
    process.execPath,
    [
      "--input-type=module-typescript",
      "-e",
      program,
      house.configPath,
      name,
      masked.toString("hex"),
      mask.toString("hex"),
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  const code = await new Promise((resolve) => child.once("exit", resolve));
  expect(code).toBe(0);
}

/** How often a key's whole or a half of it lies in the memory of each process that has any. */
function whereInMemory(masked: Buffer, mask: Buffer): Record<string, number[]> {
  const key = Buffer.from(masked.map((byte, at) => byte ^ mask[at]!));
  const patterns = [key, key.subarray(0, 16), key.subarray(16)];
  const found: Record<string, number[]> = {};
  for (const part of parts) {
    for (const pid of processesOf(house.pidOf(part))) {
      const counts = countInMemory(pid, patterns);
      if (counts.some((count) => count > 0)) found[`${part} ${pid}`] = counts;
    }
  }
  key.fill(0);
  return found;
}

/** A part's process and those beneath it: PostgreSQL has one for each connection. */
function processesOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean);
    return [pid, ...children.flatMap((child) => processesOf(Number(child)))];
  } catch {
    return [];
  }
}

function filesWith(masked: Buffer, mask: Buffer): string[] {
  const key = Buffer.from(masked.map((byte, at) => byte ^ mask[at]!));
  const halves = [key.subarray(0, 16), key.subarray(16)];
  const texts = (["hex", "base64", "base64url"] as const).map((encoding) =>
    Buffer.from(key.toString(encoding).slice(0, 20)),
  );
  const found: string[] = [];
  const visit = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) {
        const content = readOrNothing(path);
        if ([...halves, ...texts].some((form) => content.includes(form)))
          found.push(relative(house.stateDirectory, path));
      }
    }
  };
  visit(house.stateDirectory);
  key.fill(0);
  return found;
}

function readOrNothing(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0); // Turned over meanwhile.
  }
}

describe.skipIf(process.getuid?.() !== 0)("an imported key, and each half of it", () => {
  const masked = randomBytes(32);
  const mask = randomBytes(32);
  const name = `${ring}/${unique("k")}`;

  test("is in no process but the generator while it is used, and in no file at all", async () => {
    await importIn(name, masked, mask);
    const { ciphertext } = await house.claviger.cryptography.encrypt({ name, plaintext: Buffer.from("x") });
    await house.claviger.cryptography.decrypt({ name, ciphertext });
    const found = Object.keys(whereInMemory(masked, mask));
    expect(found.filter((place) => !place.startsWith("generator "))).toEqual([]);
    // Else this test could not fail: it is there while its lease lasts.
    expect(found.length).toBeGreaterThan(0);
    expect(filesWith(masked, mask)).toEqual([]);
  });

  test("is nowhere once its lease has ended", async () => {
    const goneAfter = await untilNowhere(masked, mask, 40_000);
    // It was loaded for its lease, and the collection that clears it comes a few seconds later.
    expect(goneAfter).toBeLessThan(leaseMilliseconds + 25_000);
  }, 60_000);

  test("is nowhere soon after it was destroyed, long before its lease would have ended", async () => {
    const [other, otherMask] = [randomBytes(32), randomBytes(32)];
    const doomed = `${ring}/${unique("k")}`;
    await importIn(doomed, other, otherMask);
    await house.claviger.cryptography.encrypt({ name: doomed, plaintext: Buffer.from("x") });
    expect(Object.keys(whereInMemory(other, otherMask)).length).toBeGreaterThan(0);
    await house.claviger.keys.destroyKey({ name: doomed });
    expect(await untilNowhere(other, otherMask, 30_000)).toBeLessThan(30_000);
    expect(filesWith(other, otherMask)).toEqual([]);
  }, 60_000);
});

/** Milliseconds until neither the key nor a half of it is anywhere, while the generator goes on with other work. */
async function untilNowhere(masked: Buffer, mask: Buffer, timeoutMilliseconds: number): Promise<number> {
  const { milliseconds } = await until(async () => {
    await house.claviger.cryptography.generateRandom({ sizeBytes: 32 });
    return Object.keys(whereInMemory(masked, mask)).length === 0;
  }, timeoutMilliseconds);
  return milliseconds;
}
