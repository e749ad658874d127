import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pkcs11 from "pkcs11js";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openPkcs11Hsm } from "./pkcs11-hsm.ts";
import type { Hsm, HsmKey } from "./port.ts";
import { loadModule } from "./sessions.ts";
import { beginToken } from "./token-ceremony.ts";

const modulePath = [
  process.env.CLAVIGER_PKCS11_MODULE ?? "",
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
].find((path) => path !== "" && existsSync(path));

/** The real module behind a wire that can be slow, cut, or silent, as a network HSM's is. */
const wire = { cut: false, silent: false, otherToken: false, delayMilliseconds: 0 };
/** What went over it: how many operations at once at most, and the names of all since the test began. */
const seen = { underWay: 0, most: 0, names: [] as string[] };

function behindTheWire(module: pkcs11.PKCS11): pkcs11.PKCS11 {
  return new Proxy(module, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== "function" || typeof name !== "string" || !name.startsWith("C_")) return value;
      const call = (args: unknown[]): unknown =>
        (value as (...args: unknown[]) => unknown).apply(target, args);
      return (...args: unknown[]) => {
        seen.names.push(name);
        if (wire.cut) throw new Error("CKR_DEVICE_REMOVED:50");
        if (name === "C_GetTokenInfo" && wire.otherToken) {
          return { ...(call(args) as object), serialNumber: "ANOTHER" };
        }
        if (!name.endsWith("Async")) return call(args);
        if (wire.silent) return new Promise(() => undefined);
        seen.underWay += 1;
        seen.most = Math.max(seen.most, seen.underWay);
        return new Promise((resolve) => setTimeout(resolve, wire.delayMilliseconds))
          .then(() => {
            if (wire.cut) throw new Error("CKR_DEVICE_REMOVED:50");
            return call(args);
          })
          .finally(() => {
            seen.underWay -= 1;
          });
      };
    },
  });
}

describe.skipIf(modulePath === undefined)("the HSM behind a bad wire", () => {
  const directory = mkdtempSync(join(tmpdir(), "claviger-faults-"));
  const pin = "123456789012";
  const nonce = randomBytes(12);
  const none = new Uint8Array(0);
  const aes = { kind: "aes-256", use: "encrypt" } as const;
  let hsm: Hsm;
  let returns = 0;

  beforeAll(async () => {
    mkdirSync(join(directory, "token"));
    writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${join(directory, "token")}\n`);
    process.env.SOFTHSM2_CONF = join(directory, "softhsm2.conf");
    const options = { modulePath: modulePath!, tokenLabel: "claviger-faults", pin };
    const begun = beginToken({ ...options, securityOfficerPin: "987654321098" });
    begun.recoveryKey[Symbol.dispose]();
    begun.close();
    const module = behindTheWire(loadModule(modulePath!));
    hsm = openPkcs11Hsm({ ...options, module, deadlineMilliseconds: 300 });
    hsm.onReturn(() => {
      returns += 1;
    });
    await hsm.generateKeyringKey("ring");
  });
  beforeEach(() => {
    Object.assign(wire, { cut: false, silent: false, otherToken: false, delayMilliseconds: 0 });
    Object.assign(seen, { most: 0, names: [] });
    returns = 0;
  });
  afterAll(async () => {
    Object.assign(wire, { cut: false, silent: false, otherToken: false });
    await hsm?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  async function loadedKey(): Promise<{ key: HsmKey; wrapped: Buffer }> {
    const { wrapped } = await hsm.generateKey("ring", aes);
    return { key: await hsm.unwrapKey("ring", aes, wrapped), wrapped };
  }

  async function untilReturned(): Promise<void> {
    for (let count = 0; count < 60 && returns === 0; count += 1)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(returns).toBe(1);
  }

  test("a slow HSM does not hold up the event loop, and serves as many at once as it has sessions", async () => {
    const { key } = await loadedKey();
    wire.delayMilliseconds = 5;
    let ticks = 0;
    const ticking = setInterval(() => {
      ticks += 1;
    }, 1);
    const sealed = await Promise.all(
      Array.from({ length: 80 }, () => hsm.sealAesGcm(key, nonce, none, Buffer.from("x"))),
    );
    clearInterval(ticking);
    expect(new Set(sealed.map((each) => each.toString("hex"))).size).toBe(1);
    expect(seen.most).toBe(8);
    expect(ticks).toBeGreaterThan(10);
  });

  test("while it is away every call is refused at once, and goes on when it is back, with keys loaded anew", async () => {
    const { key, wrapped } = await loadedKey();
    const sealed = await hsm.sealAesGcm(key, nonce, none, Buffer.from("before"));
    wire.cut = true;
    seen.names = [];
    for (const call of [
      () => hsm.sealAesGcm(key, nonce, none, Buffer.from("x")),
      () => hsm.unwrapKey("ring", aes, wrapped),
      () => hsm.random(8),
      () => hsm.generateKey("ring", aes),
      () => hsm.bindingMac(Buffer.from("x")),
    ]) {
      await expect(call()).rejects.toMatchObject({ kind: "unavailable" });
    }
    // The first found it out; the others were refused without asking the HSM.
    expect(seen.names.filter((name) => /GenerateRandom|UnwrapKey|SignInit/.test(name))).toEqual([]);
    wire.cut = false;
    await untilReturned();
    // The old key is gone with its session: refused, never a wrong answer.
    await expect(hsm.sealAesGcm(key, nonce, none, Buffer.from("x"))).rejects.toMatchObject({
      kind: "unavailable",
    });
    await expect(hsm.destroyKey(key)).resolves.toBeUndefined();
    const again = await hsm.unwrapKey("ring", aes, wrapped);
    expect(await hsm.openAesGcm(again, nonce, none, sealed)).toEqual(Buffer.from("before"));
  });

  test("calls under way when the wire is cut are refused or right, and none is wrong", async () => {
    const { key } = await loadedKey();
    wire.delayMilliseconds = 5;
    const calls = Array.from({ length: 200 }, async (_, at) => {
      const plaintext = Buffer.from(`item ${at}`);
      const sealed = await hsm.sealAesGcm(key, nonce, none, plaintext);
      expect(await hsm.openAesGcm(key, nonce, none, sealed)).toEqual(plaintext);
    });
    setTimeout(() => {
      wire.cut = true;
    }, 20);
    const outcomes = await Promise.allSettled(calls);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ kind: "unavailable" });
    }
    expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
    wire.cut = false;
    await untilReturned();
  });

  test("taken away under 200 calls a second, it fails each within its deadline and answers 3 s after its return", {
    timeout: 20_000,
  }, async () => {
    const loaded = await loadedKey();
    const { wrapped } = loaded;
    let { key } = loaded;
    wire.delayMilliseconds = 5;
    const outcomes: { at: number; took: number; kind: string }[] = [];
    const calls: Promise<void>[] = [];
    let reloading = false;
    const began = performance.now();
    const callOnce = async (item: number): Promise<void> => {
      const at = performance.now();
      const plaintext = Buffer.from(`item ${item}`);
      let kind = "right";
      try {
        const sealed = await hsm.sealAesGcm(key, nonce, none, plaintext);
        if (!(await hsm.openAesGcm(key, nonce, none, sealed)).equals(plaintext)) kind = "wrong";
      } catch (error) {
        kind = (error as { kind?: string }).kind ?? "no kind";
        // As the key store does when the HSM is back.
        if (returns > 0 && !reloading) {
          reloading = true;
          void hsm.unwrapKey("ring", aes, wrapped).then((again) => {
            key = again;
          });
        }
      }
      outcomes.push({ at: at - began, took: performance.now() - at, kind });
    };
    const load = setInterval(() => calls.push(callOnce(calls.length)), 5);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    wire.cut = true;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    wire.cut = false;
    const back = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, 3500));
    clearInterval(load);
    await Promise.all(calls);
    expect(outcomes.length).toBeGreaterThan(500);
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(["right", "unavailable"]));
    // Two operations, each with a deadline of 300 ms.
    expect(Math.max(...outcomes.map(({ took }) => took))).toBeLessThan(1000);
    const after = outcomes.filter(({ at }) => at > back + 3000);
    expect(after.length).toBeGreaterThan(10);
    expect(after.every(({ kind }) => kind === "right")).toBe(true);
  });

  test("another token in its place is refused, and the right one taken up again", async () => {
    wire.cut = true;
    await expect(hsm.random(8)).rejects.toMatchObject({ kind: "unavailable" });
    Object.assign(wire, { cut: false, otherToken: true });
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(returns).toBe(0);
    await expect(hsm.random(8)).rejects.toMatchObject({ kind: "unavailable" });
    wire.otherToken = false;
    await untilReturned();
    expect((await hsm.random(8)).length).toBe(8);
  });

  test("a token that is not the one the ceremony made is refused from the start", () => {
    const other = { modulePath: modulePath!, tokenLabel: "claviger-faults", pin, serial: "0815" };
    expect(() => openPkcs11Hsm(other)).toThrow(expect.objectContaining({ kind: "failed-precondition" }));
  });

  test("an HSM that does not answer is given up after the deadline, and after some silence at once", async () => {
    const { key } = await loadedKey();
    wire.silent = true;
    const calls = Array.from({ length: 8 }, () => hsm.sealAesGcm(key, nonce, none, Buffer.from("x")));
    for (const outcome of await Promise.allSettled(calls)) expect(outcome.status).toBe("rejected");
    wire.silent = false;
    await untilReturned();
    expect((await hsm.random(8)).length).toBe(8);
  });
});
