import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  createGroup,
  currentGroupKey,
  groupKeys,
  joinGroup,
  leaveGroup,
  registerRecipient,
  watchGroupKeys,
} from "@claviger/client";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { claviger } = house;
let one: EnrolledClient;
let two: EnrolledClient;
let three: EnrolledClient;

beforeAll(async () => {
  [one, two, three] = (await Promise.all(
    ["one", "two", "three"].map((name) => house.enrol(unique(name))),
  )) as [EnrolledClient, EnrolledClient, EnrolledClient];
  for (const identity of [one, two, three]) await registerRecipient(identity);
});

async function keysOf(
  as: EnrolledClient,
  group: string,
  afterGeneration = 0,
): Promise<Record<number, string>> {
  const { keys } = await groupKeys(as, { group, afterGeneration });
  return Object.fromEntries(
    keys.map(({ generation, key }) => [generation, Buffer.from(key.expose()).toString("hex")]),
  );
}

test("members share a key; who leaves cannot read the next generation, who joins cannot read the earlier", async () => {
  const group = unique("sensors");
  await createGroup(claviger, group);
  await joinGroup(claviger, group, [one.uri, two.uri]);
  const [ofOne, ofTwo] = [await keysOf(one, group), await keysOf(two, group)];
  expect(Object.keys(ofOne)).toEqual(["2"]);
  expect(ofOne).toEqual(ofTwo);
  await leaveGroup(claviger, group, [two.uri]);
  expect((await refusalOf(groupKeys(two, { group }))).kind).toBe("denied");
  await joinGroup(claviger, group, [three.uri]);
  const caughtUp = await keysOf(one, group);
  expect(Object.keys(caughtUp)).toEqual(["2", "3", "4"]);
  expect(new Set(Object.values(caughtUp)).size).toBe(3);
  expect(caughtUp[2]).toBe(ofOne[2]);
  expect(await keysOf(three, group)).toEqual({ 4: caughtUp[4] });
  expect(await keysOf(three, group, 4)).toEqual({});
  // Back again, it has what was made from then on, and nothing of the time between.
  await joinGroup(claviger, group, [two.uri]);
  expect(Object.keys(await keysOf(two, group))).toEqual(["5"]);
  using newest = await currentGroupKey(three, group);
  expect(newest.generation).toBe(5);
});

test("a stream brings each generation as it is made, and ends for who is no member any more", async () => {
  const group = unique("stream");
  await createGroup(claviger, group);
  await joinGroup(claviger, group, [one.uri]);
  const heard: number[] = [];
  const ended = (async () => {
    for await (const { generation } of watchGroupKeys(one, { group })) heard.push(generation);
  })().catch((error: unknown) => error);
  await until(() => heard.length === 1, 10_000);
  await joinGroup(claviger, group, [two.uri]);
  const { milliseconds } = await until(() => heard.length === 2, 10_000);
  expect(milliseconds).toBeLessThan(5_000);
  await leaveGroup(claviger, group, [one.uri]);
  expect(await ended).toMatchObject({ kind: "denied" });
  expect(heard).toEqual([2, 3]);
});

test("administrators change a group, and a member leaves by itself and takes nobody with it", async () => {
  const group = unique("rights");
  expect((await refusalOf(createGroup(one, group))).kind).toBe("denied");
  await createGroup(claviger, group);
  expect((await refusalOf(createGroup(claviger, group))).kind).toBe("already-exists");
  expect((await refusalOf(joinGroup(one, group, [one.uri]))).kind).toBe("denied");
  await joinGroup(claviger, group, [one.uri, two.uri]);
  expect((await refusalOf(joinGroup(claviger, group, [one.uri]))).kind).toBe("already-exists");
  expect((await refusalOf(leaveGroup(one, group, [two.uri]))).kind).toBe("denied");
  expect((await refusalOf(leaveGroup(one, group, [one.uri, two.uri]))).kind).toBe("denied");
  await leaveGroup(one, group, [one.uri]);
  expect((await refusalOf(leaveGroup(one, group, [one.uri]))).kind).toBe("not-found");
  const { members } = await claviger.groups.getKeyGroup({ name: group });
  expect(members).toMatchObject([{ identity: two.uri, joined: 2 }]);
});

test("changes that come at once are made one after another, and each has its generation", async () => {
  const group = unique("crowd");
  await createGroup(claviger, group);
  await Promise.all([one, two, three].map(({ uri }) => joinGroup(claviger, group, [uri])));
  const { group: now } = await claviger.groups.getKeyGroup({ name: group });
  expect(now).toMatchObject({ generation: 4, members: 3 });
  const all = await Promise.all([one, two, three].map((as) => keysOf(as, group, 3)));
  expect(new Set(all.map((keys) => keys[4])).size).toBe(1);
});

test("the command line creates, joins, leaves, and writes keys", { timeout: 180_000 }, async () => {
  const group = unique("typed");
  const run = async (line: string[], as?: EnrolledClient) =>
    house.cli(["groups", ...line, "--json"], as === undefined ? {} : { config: as.configPath });
  expect((await run(["create", group])).json()).toMatchObject({ name: group, generation: 1 });
  expect((await run(["join", group, "--member", `${one.uri},${two.uri}`])).json()).toMatchObject({
    members: 2,
  });
  const out = join(house.workDirectory, `${group}.{}.key`);
  const written = await run(["key", group, "--after", "0", "--out", out], one);
  expect(written.json().keys).toMatchObject([{ generation: 2 }]);
  const single = join(house.workDirectory, `${group}.key`);
  expect((await run(["key", group, "--out", single], two)).code).toBe(0);
  expect(readFileSync(single)).toEqual(readFileSync(out.replace("{}", "2")));
  expect((await run(["leave", group], two)).code).toBe(0);
  expect((await run(["key", group, "--out", single], two)).code).toBe(4);
});
