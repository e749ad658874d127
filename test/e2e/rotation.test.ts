import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { keyGeneration, keyrings, keys, rotation } = house.claviger;

async function newKey(rotationPeriodSeconds = 0n): Promise<string> {
  const ring = unique("ring");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm", rotationPeriodSeconds });
  return `${ring}/k`;
}

test("a subscriber is told of a rotation as a CloudEvent, and the roll-out waits for its acknowledgement", async () => {
  const name = await newKey();
  const claviger = await house.enrol(unique("consumer"), "user", name);
  const identity = claviger.uri;
  await claviger.subscriptions.subscribe({ name });
  const end = new AbortController();
  const events = claviger.subscriptions
    .watchRotations({ name }, { signal: end.signal })
    [Symbol.asyncIterator]();
  await keyGeneration.createKeyVersion({ name });
  const { value } = await events.next();
  expect(JSON.parse(value.cloudEvent)).toMatchObject({
    specversion: "1.0",
    type: "claviger.key.rotated.v1",
    subject: name,
    data: { version: 2, previousVersion: 1 },
  });
  const status = async () => (await rotation.getRotationStatus({ name })).rollouts[0]!;
  expect(await status()).toMatchObject({ state: "waiting", subscribers: [{ identity }] });
  await claviger.subscriptions.acknowledgeRotation({ name, version: 2 });
  expect(await status()).toMatchObject({ state: "complete", version: 2 });
  end.abort();
});

test("a subscriber that was away hears of what it has not acknowledged", async () => {
  const name = await newKey();
  const claviger = await house.enrol(unique("consumer"), "user", name);
  await claviger.subscriptions.subscribe({ name });
  await keyGeneration.createKeyVersion({ name });
  await keyGeneration.createKeyVersion({ name });
  await until(async () => (await rotation.getRotationStatus({ name })).rollouts.length === 2, 10_000);
  const end = new AbortController();
  const versions: number[] = [];
  for await (const event of claviger.subscriptions.watchRotations({}, { signal: end.signal })) {
    versions.push(event.version);
    if (versions.length === 2) end.abort();
  }
  expect(versions).toEqual([2, 3]);
});

test("whoever is not subscribed acknowledges nothing, and nobody acknowledges what has not happened", async () => {
  const name = await newKey();
  const claviger = await house.enrol(unique("stranger"), "user", name);
  await keyGeneration.createKeyVersion({ name });
  await until(async () => (await rotation.getRotationStatus({ name })).rollouts.length === 1, 10_000);
  const stranger = await refusalOf(claviger.subscriptions.acknowledgeRotation({ name, version: 2 }));
  expect(stranger.kind).toBe("failed-precondition");
  const early = await refusalOf(claviger.subscriptions.acknowledgeRotation({ name, version: 9 }));
  expect(early.kind).toBe("not-found");
});

test("a key with a rotation period rotates by itself when the period has ended, once", {
  timeout: 120_000,
}, async () => {
  const name = await newKey(60n);
  await until(async () => {
    const { policies } = await rotation.listRotationPolicies({ pageSize: 1000 });
    return policies.some((policy) => policy.name === name);
  }, 10_000);
  await until(async () => (await keys.getKey({ name })).key?.currentVersion === 2, 75_000);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  expect((await keys.getKey({ name })).key?.currentVersion).toBe(2);
});
