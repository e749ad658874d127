import { randomInt } from "node:crypto";
import type { Claviger } from "@claviger/client";
import { keyringOf, nameOf, teamOf } from "./fill.ts";

/** One path of storage or the generator, asked about a random one of so many keys. */
export interface Question {
  name: string;
  ask(claviger: Claviger, keys: number, number: number): Promise<unknown>;
}

const pageSize = 100;

function tokenAt(index: number): string {
  return Buffer.from(nameOf(index)).toString("base64url");
}

export const questions: readonly Question[] = [
  {
    name: "a page of every key",
    ask: ({ keys }, count) => keys.listKeys({ pageSize, pageToken: tokenAt(randomInt(count)) }),
  },
  {
    name: "a page of a keyring",
    ask({ keys }, count) {
      const index = randomInt(count);
      return keys.listKeys({ keyring: keyringOf(index), pageSize, pageToken: tokenAt(index) });
    },
  },
  {
    name: "keys by a label",
    async ask({ keys }, count) {
      const index = randomInt(count);
      const { keys: found } = await keys.listKeys({ labels: { team: teamOf(index) } });
      if (!found.some(({ name }) => name === nameOf(index)))
        throw new Error("a key was not found by its label");
    },
  },
  { name: "one key", ask: ({ keys }, count) => keys.getKey({ name: nameOf(randomInt(count)) }) },
  {
    name: "its versions",
    ask: ({ keys }, count) => keys.listKeyVersions({ name: nameOf(randomInt(count)) }),
  },
  {
    name: "a change of state",
    // From the end, where the keys are new: each is changed once.
    ask: ({ keys }, count, number) =>
      keys.changeKeyState({ name: nameOf(count - 1 - number), version: 0, state: "suspended" }),
  },
];

export interface Latency {
  p50: number;
  p99: number;
  calls: number;
}

export function latencyOf(milliseconds: readonly number[]): Latency {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { p50: at(0.5), p99: at(0.99), calls: sorted.length };
}
