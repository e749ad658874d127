import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { askDatabase, insist, untilAllRun, Workload, whileStopped } from "./workload.ts";

const house = useInstallation();
const { access, cryptography, keyGeneration, keyrings, keys } = house.claviger;
const plaintext = Buffer.from("m");
const leaseMilliseconds = 10_000;
/** Asking and answering, on a machine that does other things besides. */
const graceMilliseconds = 1000;

async function freshKey(): Promise<string> {
  const ring = unique("ring");
  await insist(() => keyrings.createKeyring({ name: ring }));
  await insist(() => keyGeneration.createKey({ name: `${ring}/key`, algorithm: "aes-256-gcm" }));
  return `${ring}/key`;
}

/** Milliseconds until the call is refused with this kind; what it was refused with otherwise fails the test. */
async function refusedAfter(
  call: () => Promise<unknown>,
  kind: string,
  timeoutMilliseconds: number,
): Promise<number> {
  const { milliseconds } = await until(async () => {
    const refusal = await call().then(
      () => undefined,
      (error: { kind: string }) => error.kind,
    );
    if (refusal !== undefined) expect(refusal).toBe(kind);
    return refusal !== undefined;
  }, timeoutMilliseconds);
  return milliseconds;
}

test("a role that is taken back stops working everywhere within a second", async () => {
  const name = await freshKey();
  const client = await house.enrol(unique("dismissed"), "user", name);
  await client.cryptography.encrypt({ name, plaintext });
  await client.rotation.getRotationStatus({ name });
  await access.revokeRole({ role: "user", identity: client.uri, resource: name });
  const taken = await Promise.all([
    refusedAfter(() => client.cryptography.encrypt({ name, plaintext }), "denied", 5000),
    refusedAfter(() => client.rotation.getRotationStatus({ name }), "denied", 5000),
    refusedAfter(() => client.keys.getKey({ name }), "denied", 5000),
  ]);
  expect(Math.max(...taken)).toBeLessThan(1000);
});

test("a key that is suspended, an identity that is revoked and a certificate that is revoked stop within a second", async () => {
  const name = await freshKey();
  const [dismissed, stolen] = [
    await house.enrol(unique("dismissed"), "user", name),
    await house.enrol(unique("stolen"), "user", name),
  ];
  await Promise.all([dismissed, stolen].map((client) => client.cryptography.encrypt({ name, plaintext })));
  await house.claviger.identities.revokeIdentity({ name: dismissed.uri, reason: "keyCompromise" });
  const identity = await refusedAfter(
    () => dismissed.cryptography.encrypt({ name, plaintext }),
    "denied",
    5000,
  );
  await house.claviger.certificates.revokeCertificate({
    serial: stolen.identity.serial,
    reason: "keyCompromise",
  });
  const certificate = await refusedAfter(
    () => stolen.cryptography.encrypt({ name, plaintext }),
    "denied",
    5000,
  );
  await cryptography.encrypt({ name, plaintext });
  await keys.changeKeyState({ name, state: "suspended" });
  const key = await refusedAfter(
    () => cryptography.encrypt({ name, plaintext }),
    "failed-precondition",
    5000,
  );
  expect(Math.max(identity, certificate, key)).toBeLessThan(1000);
});

test("with the bus stopped, what was taken back stops working within the lease", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const client = await house.enrol(unique("dismissed"), "user", name);
  await client.cryptography.encrypt({ name, plaintext });
  await whileStopped(house, "nats", async () => {
    await client.cryptography.encrypt({ name, plaintext });
    await access.revokeRole({ role: "user", identity: client.uri, resource: name });
    const taken = await refusedAfter(
      () => client.cryptography.encrypt({ name, plaintext }),
      "denied",
      leaseMilliseconds * 2,
    );
    expect(taken).toBeLessThan(leaseMilliseconds + graceMilliseconds);
    await cryptography.encrypt({ name, plaintext });
    await keys.changeKeyState({ name, state: "suspended" });
    const suspended = await refusedAfter(
      () => cryptography.encrypt({ name, plaintext }),
      "failed-precondition",
      leaseMilliseconds * 2,
    );
    expect(suspended).toBeLessThan(leaseMilliseconds + graceMilliseconds);
  });
});

test("with the bus stopped, callers are served, and what they did is recorded when it is back", {
  timeout: 120_000,
}, async () => {
  const workload = new Workload(house);
  await workload.start();
  await whileStopped(house, "nats", () => workload.progress(20, 30_000));
  await workload.stop();
  await workload.expectEverythingKept();
  await workload.expectEverythingRecorded();
});

test("with the log stopped, callers are served, and what they did is recorded when it is back", {
  timeout: 120_000,
}, async () => {
  const workload = new Workload(house);
  await workload.start();
  await whileStopped(house, "audit", () => workload.progress(20, 30_000));
  await workload.stop();
  await workload.expectEverythingRecorded();
});

test("with storage stopped, the generator goes on with what it holds, within the lease, and then refuses as unavailable", {
  timeout: 90_000,
}, async () => {
  const name = await freshKey();
  await cryptography.encrypt({ name, plaintext });
  const asked = performance.now();
  await whileStopped(house, "storage", async () => {
    let served = 0;
    let lastServedAt = asked;
    const kinds = new Set<string>();
    while (performance.now() - asked < leaseMilliseconds + 12_000 && kinds.size === 0) {
      const startedAt = performance.now();
      await cryptography.encrypt({ name, plaintext }, { deadlineMilliseconds: 12_000 }).then(
        () => {
          served += 1;
          lastServedAt = startedAt;
        },
        (error: { kind: string }) => kinds.add(error.kind),
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(served).toBeGreaterThan(20);
    expect(lastServedAt - asked).toBeLessThan(leaseMilliseconds + graceMilliseconds);
    expect([...kinds]).toEqual(["unavailable"]);
  });
  await insist(() => cryptography.encrypt({ name, plaintext }));
});

test("with storage stopped, nothing that the generator has not yet decided is decided by itself", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const stranger = await house.enrol(unique("stranger"));
  await whileStopped(house, "storage", async () => {
    const refusal = await refusalOf(
      stranger.cryptography.encrypt({ name, plaintext }, { deadlineMilliseconds: 12_000 }),
    );
    expect(refusal.kind).toBe("unavailable");
  });
});

test("when the generator cannot keep an audit record, it answers nothing, and it serves again when it can", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const { ciphertext } = await cryptography.encrypt({ name, plaintext });
  // Another process holds the spool's write lock, as a full or failing disk would hold up each commit.
  const spool = new DatabaseSync(join(house.layout.serviceDirectory("generator"), "audit-spool.db"));
  try {
    // The generator may be marking records as shipped at this very moment.
    spool.exec("PRAGMA busy_timeout = 5000");
    spool.exec("BEGIN IMMEDIATE");
    const refusals = await Promise.all([
      refusalOf(cryptography.encrypt({ name, plaintext })),
      refusalOf(cryptography.decrypt({ name, ciphertext })),
      refusalOf(cryptography.decrypt({ name, ciphertext: Buffer.alloc(80) })),
      refusalOf(cryptography.generateRandom({ sizeBytes: 8 })),
    ]);
    expect(refusals.map(({ kind }) => kind)).toEqual(refusals.map(() => "unavailable"));
    spool.exec("ROLLBACK");
  } finally {
    spool.close();
  }
  await insist(() => cryptography.decrypt({ name, ciphertext }));
  await untilAllRun(house);
});

test("when a service cannot write its audit record, what it would have recorded has not happened", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  await askDatabase(
    house,
    "alter table storage.outbox add constraint chaos check (kind <> 'audit') not valid",
  );
  try {
    const changed = await refusalOf(keys.changeKeyState({ name, state: "suspended" }));
    expect(["unavailable", "internal"]).toContain(changed.kind);
    expect((await refusalOf(keys.getKey({ name }))).kind).toBe(changed.kind);
  } finally {
    await askDatabase(house, "alter table storage.outbox drop constraint chaos");
  }
  expect((await keys.getKey({ name })).key?.state).toBe("active");
});
