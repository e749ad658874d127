// Keys that are handed out: what they cost the services, beside the least that could make and seal them.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Claviger,
  createClaviger,
  createGroup,
  enrollWithToken,
  joinGroup,
  leaveGroup,
  readConfigFile,
  registerRecipient,
  requestSessionKey,
  writeIdentity,
} from "@claviger/client";
import { recipientKeyBytes, sealTicket } from "@claviger/key-ticket";
import { readSupervisorFile } from "@claviger/local";
import { createRecipient, sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { type BenchInstallation, trustDomain } from "./bench-installation.ts";
import { processTimeSeconds, untilQuiet } from "./process-time.ts";

export const exchangeNames = ["session-keys", "group-leave"] as const;
export type ExchangeName = (typeof exchangeNames)[number];

const inFlight = 16;
const changesCounted = 40;
const membersAtOnce = 500;
const quietMilliseconds = 5000;

export interface ExchangeRow {
  path: string;
  /** Operations per CPU-second. */
  perCpuSecond: number;
  note: string;
}

interface Counted {
  generator: number;
  distribution: number;
  milliseconds: number;
  operations: number;
}

export async function measureExchange(
  installation: BenchInstallation,
  names: readonly ExchangeName[],
  { rounds, seconds, onProgress }: { rounds: number; seconds: number; onProgress: (what: string) => void },
): Promise<ExchangeRow[]> {
  using administrator = createClaviger({ config: installation.layout.configurationFile });
  const rows: ExchangeRow[] = [];
  if (names.includes("session-keys")) {
    onProgress("session keys");
    rows.push(...(await sessionKeys(installation, administrator, rounds, seconds)));
  }
  if (names.includes("group-leave")) {
    onProgress("a group of ten and one of ten thousand");
    rows.push(...(await groupLeaves(installation, administrator)));
  }
  return rows;
}

/** In turns (A B A B …), so that what else the machine does falls on both. */
async function sessionKeys(
  installation: BenchInstallation,
  administrator: Claviger,
  rounds: number,
  seconds: number,
): Promise<ExchangeRow[]> {
  using initiator = await enrol(installation, administrator, "initiator");
  using peer = await enrol(installation, administrator, "peer");
  await registerRecipient(peer);
  await administrator.sessions.allowSessions({ initiator: "initiator", peer: "peer" });
  const bare = await bareLoop();
  const wanted = { peer: `spiffe://${trustDomain}/workload/peer` };
  const open = async (): Promise<void> => {
    using issued = await requestSessionKey(initiator, wanted);
    if (issued.key.length !== recipientKeyBytes) throw new Error("this is no session key");
  };
  await repeat(open, 1);
  const floors: number[] = [];
  const both: number[] = [];
  const alone: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    const sealed = await repeat(bare, seconds, 1);
    const { system, user } = process.cpuUsage(before);
    floors.push(sealed / ((system + user) / 1e6));
    const counted = await count(installation, () => repeat(open, seconds));
    both.push(counted.operations / (counted.generator + counted.distribution));
    alone.push(counted.operations / counted.generator);
  }
  const floor = median(floors);
  const ratio = (values: number[]): string => `${(median(values) / floor).toFixed(2)} of the bare loop`;
  return [
    {
      path: "bare loop: HPKE and JWE",
      perCpuSecond: floor,
      note: "random key, both sealed; jose and @hpke/core",
    },
    { path: "session key, of the generator", perCpuSecond: median(alone), note: ratio(alone) },
    { path: "session key, of generator and distribution", perCpuSecond: median(both), note: ratio(both) },
  ];
}

/** A key, sealed to an initiator by HPKE and to a peer as a JWE, each with a statement as long as ours. */
async function bareLoop(): Promise<() => Promise<void>> {
  const [one, other] = [await createRecipient(), await createRecipient()];
  const statement = "x".repeat(600);
  const context = { method: "bench/Bare", name: "peer", version: 1 };
  return async () => {
    using key = SecretBytes.take(randomBytes(32));
    using payload = SecretBytes.take(Buffer.concat([Buffer.from(statement), key.expose()]));
    await Promise.all([
      sealSecret(one.publicKey, context, payload),
      sealTicket(other.publicKey, statement, key),
    ]);
  };
}

async function groupLeaves(installation: BenchInstallation, administrator: Claviger): Promise<ExchangeRow[]> {
  const rows: ExchangeRow[] = [];
  for (const size of [10, 10_000]) {
    const group = `of-${size}`;
    await createGroup(administrator, group);
    const names = Array.from({ length: size }, (_, at) => `spiffe://${trustDomain}/workload/member-${at}`);
    for (let at = 0; at < size; at += membersAtOnce) {
      await joinGroup(administrator, group, names.slice(at, at + membersAtOnce));
    }
    await untilAllQuiet(installation);
    const leaver = [names[Math.floor(size / 2)]!];
    const counted = await count(installation, async () => {
      for (let change = 0; change < changesCounted; change += 2) {
        await leaveGroup(administrator, group, leaver);
        await joinGroup(administrator, group, leaver);
      }
      return changesCounted;
    });
    const cpu = counted.generator + counted.distribution;
    const each = `${(counted.milliseconds / counted.operations).toFixed(1)} ms each, ${((cpu * 1000) / counted.operations).toFixed(1)} ms of CPU`;
    rows.push({
      path: `leave or join in a group of ${size}`,
      perCpuSecond: counted.operations / cpu,
      note: each,
    });
  }
  return rows;
}

async function enrol(
  installation: BenchInstallation,
  administrator: Claviger,
  name: string,
): Promise<Claviger> {
  const { token } = await administrator.identities.createEnrollmentToken({ name });
  const joined = await enrollWithToken(token);
  const directory = join(installation.workDirectory, name);
  writeIdentity(directory, { ...joined, addresses: administrator.addresses });
  const { addresses, identityDirectory } = readConfigFile(join(directory, "claviger.json"));
  return createClaviger({ trustDomain, addresses, identityDirectory });
}

/** As often as it goes in that time. @returns how often */
async function repeat(once: () => Promise<void>, seconds: number, atATime = inFlight): Promise<number> {
  const ends = performance.now() + seconds * 1000;
  let done = 0;
  const keepOn = async (): Promise<void> => {
    while (performance.now() < ends) {
      await once();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: atATime }, keepOn));
  return done;
}

/** CPU-seconds of both services, until what they do in the background is done. */
async function count(installation: BenchInstallation, work: () => Promise<number>): Promise<Counted> {
  const pids = pidsOf(installation);
  const before = pids.map(processTimeSeconds);
  const began = performance.now();
  const operations = await work();
  const milliseconds = performance.now() - began;
  await untilAllQuiet(installation);
  const [generator, distribution] = pids.map((pid, at) => processTimeSeconds(pid) - before[at]!);
  return { generator: generator!, distribution: distribution!, milliseconds, operations };
}

async function untilAllQuiet(installation: BenchInstallation): Promise<void> {
  await sleep(200);
  await Promise.all(pidsOf(installation).map((pid) => untilQuiet(pid, quietMilliseconds)));
}

function pidsOf({ layout }: BenchInstallation): number[] {
  const parts = readSupervisorFile(layout)?.parts ?? [];
  return (["generator", "distribution"] as const).map((wanted) => {
    const pid = parts.find(({ name }) => name === wanted)?.pid;
    if (pid === undefined) throw new Error(`${wanted} does not run`);
    return pid;
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

export function exchangeText(rows: readonly ExchangeRow[]): string {
  return rows
    .map(
      ({ note, path, perCpuSecond }) =>
        `${path.padEnd(44)}${perCpuSecond.toFixed(0).padStart(7)} / CPU-s   ${note}`,
    )
    .join("\n");
}
