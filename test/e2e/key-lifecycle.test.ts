import { create } from "@bufbuild/protobuf";
import { TimestampSchema, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterAll, describe, expect, test } from "vitest";
import { type KeyState, keyStates, mayMove, stateTable } from "../../packages/lifecycle/src/index.ts";
import { purgeOne } from "../../services/storage/src/purger.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { RegistryAccess } from "../harness/registry-access.ts";

const house = useInstallation();
const { audit, cryptography, keyGeneration, keyrings, keys } = house.claviger;
const registry = new RegistryAccess(house);
afterAll(() => registry[Symbol.asyncDispose]());
const plaintext = Buffer.from("of its time");
const dayMilliseconds = 86_400_000;
const ring = unique("life");
const ready = keyrings.createKeyring({ name: ring });

const inDays = (days: number): Date => new Date(Date.now() + days * dayMilliseconds);
const at = (date: Date) => timestampFromDate(date);

async function newKey(options: object = {}): Promise<string> {
  await ready;
  const name = `${ring}/${unique("k")}`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm", ...options });
  return name;
}

async function stateOf(name: string, version = 0): Promise<string> {
  if (version === 0) return (await keys.getKey({ name })).key!.state;
  const { versions } = await keys.listKeyVersions({ name });
  return versions.find((one) => one.version === version)!.state;
}

async function change(name: string, version: number, ...states: string[]): Promise<void> {
  for (const state of states) await keys.changeKeyState({ name, version, state });
}

/** Ends its period on the day that the test's clock shows, which is the true one plus some. */
async function destroy(name: string): Promise<void> {
  await keys.destroyKey({ name });
  await registry.endPeriod(name, new Date(Date.now() - 1));
  await until(async () => (await stateOf(name)) === "destroyed", 15_000);
}

/** How a key, or version 2 of one, comes into each state by moves that are allowed. */
const ways: Record<KeyState, { key: (name: string) => Promise<void>; options?: object }> = {
  "pre-activation": { key: async () => undefined, options: { activateAt: at(inDays(30)) } },
  active: { key: async () => undefined },
  suspended: { key: (name) => change(name, 0, "suspended") },
  deactivated: { key: (name) => change(name, 0, "deactivated") },
  compromised: { key: (name) => change(name, 0, "compromised") },
  destroyed: { key: destroy },
};

/** What a caller may ask for; what is destroyed is so by its own command, and nothing becomes pre-activation. */
const askable: ReadonlySet<KeyState> = new Set(["active", "suspended", "deactivated", "compromised"]);

describe.each(keyStates)("a key that is %s", (from) => {
  test("moves where SP 800-57 lets it, and nowhere else", async () => {
    const fresh = async (): Promise<string> => {
      const name = await newKey(ways[from].options);
      await ways[from].key(name);
      return name;
    };
    const stays = await fresh();
    for (const to of keyStates) {
      const asked = { state: to };
      if (mayMove(from, to) && askable.has(to)) {
        const name = await fresh();
        expect((await keys.changeKeyState({ name, ...asked })).key!.state, `${from} → ${to}`).toBe(to);
      } else {
        const { kind } = await refusalOf(keys.changeKeyState({ name: stays, ...asked }));
        const expected = askable.has(to) || from === "destroyed" ? "failed-precondition" : "invalid-argument";
        expect(kind, `${from} → ${to}`).toBe(expected);
        expect(await stateOf(stays), `${from} → ${to}`).toBe(from);
      }
    }
    expect(mayMove(from, "destroyed") || stateTable[from].movesTo.includes("deactivated")).toBe(
      from !== "destroyed",
    );
  });
});

describe.each(keyStates.filter((state) => state !== "destroyed"))("a version that is %s", (from) => {
  test("moves where SP 800-57 lets it, and nowhere else", async () => {
    const fresh = async (): Promise<string> => {
      const name = await newKey();
      const waits = from === "pre-activation" ? { activateAt: at(inDays(30)) } : {};
      await keyGeneration.createKeyVersion({ name, ...waits });
      if (from !== "active" && from !== "pre-activation") await change(name, 2, from);
      return name;
    };
    const stays = await fresh();
    for (const to of keyStates) {
      if (mayMove(from, to) && askable.has(to)) {
        const name = await fresh();
        await keys.changeKeyState({ name, version: 2, state: to });
        expect(await stateOf(name, 2), `${from} → ${to}`).toBe(to);
      } else {
        const { kind } = await refusalOf(keys.changeKeyState({ name: stays, version: 2, state: to }));
        expect(kind, `${from} → ${to}`).toBe(askable.has(to) ? "failed-precondition" : "invalid-argument");
        expect(await stateOf(stays, 2), `${from} → ${to}`).toBe(from);
      }
    }
  });
});

test("a reason is one that fits the state, is kept, and is shown with its moment", async () => {
  const name = await newKey();
  const wrong = await refusalOf(keys.changeKeyState({ name, state: "suspended", reason: "boredom" }));
  expect(wrong).toMatchObject({ kind: "invalid-argument" });
  for (const [state, reason] of [
    ["active", "keyCompromise"],
    ["suspended", "activationDate"],
    ["suspended", "removeFromCRL"],
  ] as const) {
    expect((await refusalOf(keys.changeKeyState({ name, state, reason }))).kind, reason).toBe(
      "invalid-argument",
    );
  }
  const before = Date.now();
  await keys.changeKeyState({ name, state: "suspended", reason: "certificateHold" });
  const { key } = await keys.getKey({ name });
  expect(key).toMatchObject({ state: "suspended", stateReason: "certificateHold" });
  const since = timestampDate(key!.stateChangedAt!).getTime();
  expect(Math.abs(since - before)).toBeLessThan(5000);
  const shown = await house.cli(["keys", "show", name]);
  expect(shown.stdout).toContain("(certificateHold)");
  expect((await house.cli(["keys", "enable", name, "--reason", "investigated"])).code).toBe(0);
  expect((await keys.getKey({ name })).key!.stateReason).toBe("investigated");
});

describe("days, on a clock of the test's", () => {
  const onDay = async <T>(days: number, look: () => Promise<T>): Promise<T> => {
    registry.aheadMilliseconds = days * dayMilliseconds;
    try {
      return await look();
    } finally {
      registry.aheadMilliseconds = 0;
    }
  };

  test("a key becomes active and is deactivated by itself, each on its day and once", async () => {
    const [activateAt, expireAt] = [inDays(10), inDays(20)];
    const name = await newKey({ activateAt: at(activateAt), expireAt: at(expireAt) });
    const born = await registry.row(name);
    expect(born.state).toBe("pre-activation");
    expect(await onDay(9.999, () => registry.settled(name))).toMatchObject({
      state: "pre-activation",
      revision: 1,
    });
    // Several at once, as several replicas would: whoever comes second finds it done.
    const settled = await onDay(10.001, () =>
      Promise.all(Array.from({ length: 6 }, () => registry.settled(name))),
    );
    for (const row of settled) {
      expect(row).toMatchObject({
        state: "active",
        stateReason: "activationDate",
        stateChangedAt: activateAt,
        revision: 2,
      });
    }
    expect(await onDay(20.001, () => registry.settled(name))).toMatchObject({
      state: "deactivated",
      stateReason: "expiryDate",
      stateChangedAt: expireAt,
      revision: 3,
    });
    const { value: records } = await until(async () => {
      const found = await audit.searchRecords({ resource: name, method: "claviger.storage/ActOnDate" });
      return found.records.length >= 2 ? found.records : undefined;
    }, 20_000);
    expect(records.length).toBe(2);
  });

  test("one whose both days have passed unseen is deactivated, by way of active", async () => {
    const name = await newKey({ activateAt: at(inDays(1)), expireAt: at(inDays(2)) });
    expect(await onDay(5, () => registry.settled(name))).toMatchObject({ state: "deactivated", revision: 3 });
  });

  test("a suspended key is deactivated on its day, and is not activated by one", async () => {
    const name = await newKey({ activateAt: at(inDays(1)), expireAt: at(inDays(3)) });
    await change(name, 0, "suspended");
    expect((await onDay(2, () => registry.settled(name))).state).toBe("suspended");
    expect((await onDay(4, () => registry.settled(name))).state).toBe("deactivated");
  });

  test("a version takes the current one's place on its day, and not before", async () => {
    const name = await newKey();
    await keyGeneration.createKeyVersion({ name, activateAt: at(inDays(5)) });
    expect(await registry.row(name)).toMatchObject({ currentVersion: 1, latestVersion: 2 });
    expect((await cryptography.encrypt({ name, plaintext })).version).toBe(1);
    const second = await refusalOf(keyGeneration.createKeyVersion({ name }));
    expect(second).toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining("@2 waits"),
    });
    expect((await onDay(4.999, () => registry.settled(name))).currentVersion).toBe(1);
    expect((await onDay(5.001, () => registry.settled(name))).currentVersion).toBe(2);
    await until(async () => (await cryptography.encrypt({ name, plaintext })).version === 2, 5000);
    expect(await stateOf(name, 1)).toBe("deactivated");
    await keyGeneration.createKeyVersion({ name });
    expect((await keys.getKey({ name })).key).toMatchObject({ currentVersion: 3, latestVersion: 3 });
  });

  test("one that waits is let come by hand, or ended; the next one has the next number", async () => {
    const name = await newKey({});
    await keyGeneration.createKeyVersion({ name, activateAt: at(inDays(5)) });
    expect((await refusalOf(cryptography.sign({ name, version: 2, message: plaintext }))).kind).toBe(
      "failed-precondition",
    );
    await change(name, 2, "compromised");
    await keyGeneration.createKeyVersion({ name, activateAt: at(inDays(5)) });
    await change(name, 3, "active");
    expect((await keys.getKey({ name })).key!.currentVersion).toBe(3);
    expect(await stateOf(name, 1)).toBe("deactivated");
    expect(await stateOf(name, 2)).toBe("compromised");
  });
});

test("the next version's public key can be had before it signs", async () => {
  const name = await newKey({ algorithm: "ecdsa-p256" });
  await keyGeneration.createKeyVersion({ name, activateAt: at(new Date(Date.now() + 2500)) });
  const next = await keyGeneration.getPublicKey({ name, version: 2 });
  const early = await refusalOf(cryptography.sign({ name, version: 2, message: plaintext }));
  expect(early).toMatchObject({
    kind: "failed-precondition",
    message: expect.stringContaining("becomes active on"),
  });
  await until(async () => (await cryptography.sign({ name, message: plaintext })).version === 2, 6000);
  expect((await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo).toEqual(
    next.subjectPublicKeyInfo,
  );
});

test("the generator lets a key be used from its second on, and no longer than to its second", async () => {
  const [from, to] = [new Date(Date.now() + 2500), new Date(Date.now() + 5500)];
  const name = await newKey({ activateAt: at(from), expireAt: at(to) });
  const early = await refusalOf(cryptography.encrypt({ name, plaintext }));
  expect(early).toMatchObject({
    kind: "failed-precondition",
    message: expect.stringContaining(from.toISOString()),
  });
  let first = 0;
  let last = 0;
  let ciphertext: Uint8Array = Buffer.alloc(0);
  await until(async () => {
    const began = Date.now();
    const answer = await cryptography.encrypt({ name, plaintext }).catch(() => undefined);
    if (answer !== undefined) {
      ciphertext = answer.ciphertext;
      first ||= Date.now();
      last = began;
    }
    return began > to.getTime() + 500;
  }, 20_000);
  expect(first).toBeGreaterThanOrEqual(from.getTime());
  expect(first - from.getTime()).toBeLessThan(1000);
  expect(last).toBeLessThan(to.getTime());
  const late = await refusalOf(cryptography.encrypt({ name, plaintext }));
  expect(late.message).toContain(`deactivated since ${to.toISOString()}`);
  expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
  // Written down and told of, by whichever replica came first.
  const { value: records } = await until(async () => {
    const found = await audit.searchRecords({ resource: name, method: "claviger.storage/ActOnDate" });
    return found.records.length >= 2 ? found.records : undefined;
  }, 20_000);
  expect(records.length).toBe(2);
});

test("days can be changed while they are to come, and are refused where they make no sense", async () => {
  const name = await newKey({ activateAt: at(inDays(5)) });
  const bad: [object, string][] = [
    [{}, "invalid-argument"],
    [{ activateAt: at(inDays(-1)) }, "invalid-argument"],
    [{ expireAt: at(inDays(-1)) }, "invalid-argument"],
    [{ expireAt: at(inDays(4)) }, "invalid-argument"],
    [{ expireAt: at(inDays(9)), neverExpires: true }, "invalid-argument"],
    [{ expireAt: at(inDays(366 * 200)) }, "invalid-argument"],
    [{ expireAt: create(TimestampSchema, { seconds: 2n ** 60n }) }, "invalid-argument"],
    [{ activateAt: create(TimestampSchema, { seconds: 2n ** 60n }) }, "invalid-argument"],
    [{ version: 7, expireAt: at(inDays(9)) }, "not-found"],
    [{ version: 1, activateAt: at(inDays(9)) }, "failed-precondition"],
  ];
  for (const [dates, kind] of bad) {
    expect(
      (await refusalOf(keys.scheduleKey({ name, ...dates }))).kind,
      JSON.stringify(Object.keys(dates)),
    ).toBe(kind);
  }
  const { key } = await keys.scheduleKey({ name, activateAt: at(inDays(6)), expireAt: at(inDays(9)) });
  expect(timestampDate(key!.expireAt!).getTime()).toBeGreaterThan(inDays(8.9).getTime());
  expect((await keys.scheduleKey({ name, neverExpires: true })).key!.expireAt).toBeUndefined();
  await change(name, 0, "active");
  expect((await refusalOf(keys.scheduleKey({ name, activateAt: at(inDays(6)) }))).kind).toBe(
    "failed-precondition",
  );
  await change(name, 0, "compromised");
  expect((await refusalOf(keys.scheduleKey({ name, expireAt: at(inDays(6)) }))).kind).toBe(
    "failed-precondition",
  );
  const line = ["keys", "schedule", await newKey(), "--expire-at", "90d"];
  expect((await house.cli(line)).stdout).toMatch(/is deactivated on \d{4}-/);
});

test("a user may neither move a key nor set a day for it", async () => {
  const name = await newKey();
  const user = await house.enrol(unique("user"), "user", ring);
  expect((await refusalOf(user.keys.scheduleKey({ name, expireAt: at(inDays(1)) }))).kind).toBe("denied");
  expect((await refusalOf(user.keys.describeKey({ name, labels: { a: "b" } }))).kind).toBe("denied");
});

describe("the end of a key", () => {
  test("is once, however many purge at the same time, and however a restore races them", async () => {
    const names = await Promise.all(Array.from({ length: 12 }, () => newKey({ destroyAfterDays: 7 })));
    const ciphertexts = await Promise.all(names.map((name) => cryptography.encrypt({ name, plaintext })));
    await Promise.all(names.map((name) => keys.destroyKey({ name })));
    // All at once: the installation's own purger, eight more on the test's clock, and whoever takes half of them back.
    for (const name of names) await registry.endPeriod(name, new Date(Date.now() + 1500));
    await new Promise((resolve) => setTimeout(resolve, 1400));
    const purger = async (): Promise<void> => {
      const { open, work } = registry;
      const began = Date.now();
      while (Date.now() - began < 3000) await purgeOne({ open, work, onPurged: () => undefined });
    };
    const restored = names.slice(0, 6).map((name) =>
      keys.restoreKey({ name }).then(
        () => true,
        (error: { kind: string; message: string }) => {
          expect(error).toMatchObject({
            kind: "failed-precondition",
            message: expect.stringMatching(/destroyed on \d{4}-/),
          });
          return false;
        },
      ),
    );
    const [, outcomes] = await Promise.all([
      Promise.all(Array.from({ length: 8 }, purger)),
      Promise.all(restored),
    ]);
    for (const [index, name] of names.entries()) {
      const kept = outcomes[index] === true;
      const row = await registry.row(name);
      expect(row.state, name).toBe(kept ? "active" : "destroyed");
      const materials = await house.superuser<{ material: Buffer | null }>(
        "select material from storage.key_versions where key_id = $1",
        [row.id],
      );
      expect(materials.every(({ material }) => (material !== null) === kept)).toBe(true);
      const rows = await house.superuser("select 1 from storage.destructions where key_id = $1", [row.id]);
      expect(rows.length).toBe(kept ? 0 : 1);
      const { ciphertext } = ciphertexts[index]!;
      if (kept) {
        await until(async () => (await cryptography.decrypt({ name, ciphertext })).version === 1, 5000);
      } else {
        await until(
          async () =>
            (await refusalOf(cryptography.decrypt({ name, ciphertext }))).message.includes(
              "was destroyed on",
            ),
          5000,
        );
        const refusal = await refusalOf(cryptography.decrypt({ name, ciphertext }));
        expect(refusal.kind).toBe("failed-precondition");
        expect(refusal.message).toContain(`was destroyed on ${row.stateChangedAt!.toISOString()}`);
      }
    }
    for (const name of names.slice(6)) {
      const { value } = await until(async () => {
        const found = await audit.searchRecords({ resource: name, method: "claviger.storage/Purge" });
        return found.records.length > 0 ? found.records : undefined;
      }, 20_000);
      expect(value.length, name).toBe(1);
    }
  });

  test("waits as long as the keyring's floor says, whatever the key says", async () => {
    const floored = unique("floor");
    await keyrings.createKeyring({ name: floored });
    const made = `${floored}/before`;
    await keyGeneration.createKey({ name: made, algorithm: "aes-256-gcm", destroyAfterDays: 7 });
    expect((await house.cli(["keyrings", "set", floored, "--destroy-after-min", "60d"])).code).toBe(0);
    const early = { name: `${floored}/after`, algorithm: "aes-256-gcm", destroyAfterDays: 30 };
    expect((await refusalOf(keyGeneration.createKey(early))).kind).toBe("failed-precondition");
    const { key } = await keyGeneration.createKey({ ...early, destroyAfterDays: 0 });
    expect(key!.destroyAfterDays).toBe(60);
    const doomed = (await keys.destroyKey({ name: made })).key!;
    expect(timestampDate(doomed.destroyAt!).getTime()).toBeGreaterThan(inDays(59.9).getTime());
    for (const days of [3, 91]) {
      const wrong = keys.setKeyringFloor({ name: floored, destroyAfterDaysMin: days });
      expect((await refusalOf(wrong)).kind).toBe("invalid-argument");
    }
    expect(
      (await keys.setKeyringFloor({ name: floored, destroyAfterDaysMin: 0 })).keyring!.destroyAfterDaysMin,
    ).toBe(0);
  });
});
