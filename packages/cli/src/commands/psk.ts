import {
  acknowledgePreSharedKey,
  createPreSharedKey,
  fetchPreSharedKey,
  formatPreSharedKey,
  type PskFormat,
  pskFormats,
  rotatePreSharedKey,
} from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseDuration, parseWholeNumber } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { secretMode, standardStream, writeOutput } from "../files.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime, type TimestampLike } from "../plain.ts";
import { everyPage } from "../session.ts";

export function register(program: Command): void {
  const psk = program
    .command("psk")
    .description("pre-shared keys for TLS 1.3, IKEv2 and WireGuard, each for exactly two parties");
  registerMaking(psk);
  registerFetch(psk);
  registerLists(psk);
}

function registerMaking(psk: Command): void {
  defineCommand<{ parties: string; overlap?: string }>(psk, {
    usage: "create <name>",
    description: "make a pre-shared key of 256 bits for two parties",
    examples: [
      "psk create vpn-1 --parties site-a,site-b",
      "psk create vpn-1 --parties site-a,site-b --overlap 2h",
    ],
    options: [
      ["--parties <A,B>", "two identities, both with a registered recipient key", "required"],
      ["--overlap <time>", "how long a generation goes on once both have the next; a day by default"],
    ],
    async run(session, positional, options) {
      const parties = await Promise.all(
        options.parties.split(",").map((name) => session.identityUri(name.trim())),
      );
      if (parties.length !== 2 || parties[0] === parties[1]) {
        throw new DomainError("invalid-argument", "a pre-shared key is for exactly two parties", {
          hint: "--parties site-a,site-b",
        });
      }
      const overlapSeconds = options.overlap === undefined ? 0 : parseDuration(options.overlap, "--overlap");
      const claviger = await session.connect();
      const made = await createPreSharedKey(claviger, {
        name: argument(positional),
        parties,
        overlapSeconds,
      });
      session.answer(made, () => `${made.name} waits for ${made.parties.map(shortIdentity).join(" and ")}`);
      session.notice(`each of them: claviger psk fetch ${made.name} --out FILE`);
    },
  });
  defineCommand(psk, {
    usage: "rotate <name>",
    description:
      "the next generation: the one before goes on until both parties have it, and for the overlap",
    examples: ["psk rotate vpn-1"],
    async run(session, positional) {
      const made = await rotatePreSharedKey(await session.connect(), argument(positional));
      const newest = present(made.generations.at(-1), "the generation");
      session.answer(made, () => `generation ${newest.generation} of ${made.name} waits for its parties`);
    },
  });
}

const generations = { min: 1, max: 2 ** 31 - 1 };

interface FetchOptions {
  out: string;
  format?: string;
  generation?: string;
  peer?: string;
  acknowledge: boolean;
}

function registerFetch(psk: Command): void {
  defineCommand<FetchOptions>(psk, {
    usage: "fetch <name>",
    description: "for a party: the key, ready to paste; once it is written it is never delivered again",
    examples: [
      "psk fetch vpn-1 --out vpn-1.key",
      "psk fetch vpn-1 --out vpn-1.conf --format wireguard --peer site-b",
      "psk fetch vpn-1 --out vpn-1.key --no-acknowledge",
    ],
    options: [
      ["--out <file>", "readable by you alone", "required"],
      ["--format <F>", `${pskFormats.join(", ")}; raw bytes by default`],
      ["--generation <N>", "the oldest that waits by default"],
      ["--peer <identity>", "refuse one that is shared with somebody else"],
      ["--no-acknowledge", "only look: it can be fetched again"],
    ],
    async run(session, positional, { acknowledge, format = "raw", generation, out, peer }) {
      const wanted = checkFormat(format);
      const claviger = await session.connect();
      const request = {
        name: argument(positional),
        generation: generation === undefined ? 0 : parseWholeNumber(generation, "--generation", generations),
        ...(peer === undefined ? {} : { peer: await session.identityUri(peer) }),
      };
      using fetched = await fetchPreSharedKey(claviger, request);
      const text = formatPreSharedKey(fetched, wanted);
      // Written whole and on the disk before it is said to be kept.
      writeOutput(out, text, { mode: secretMode });
      text.fill(0);
      if (acknowledge) await acknowledgePreSharedKey(claviger, fetched);
      if (out === standardStream) return;
      const { name, peer: other } = fetched;
      const answer = {
        name,
        generation: fetched.generation,
        peer: other,
        format,
        out,
        acknowledged: acknowledge,
      };
      session.answer(
        answer,
        () => `${name}@${fetched.generation}, shared with ${shortIdentity(other)}, is in ${out}`,
      );
    },
  });
}

function checkFormat(format: string): PskFormat {
  const found = pskFormats.find((candidate) => candidate === format);
  if (found !== undefined) return found;
  throw new DomainError("invalid-argument", `"${format}" is not a format of pre-shared keys`, {
    hint: `formats are ${pskFormats.join(", ")}`,
  });
}

interface GenerationView {
  generation: number;
  createdAt?: TimestampLike | undefined;
  state: string;
  retiresAt?: TimestampLike | undefined;
  deliveries: readonly { party: string; acknowledgedAt?: TimestampLike | undefined }[];
}

function generationRow({ createdAt, deliveries, generation, retiresAt, state }: GenerationView) {
  return [
    generation,
    retiresAt === undefined ? state : `${state}, ${shortTime(retiresAt)}`,
    shortTime(createdAt),
    ...deliveries.map(({ acknowledgedAt, party }) =>
      acknowledgedAt === undefined ? `${shortIdentity(party)} waits` : `${shortIdentity(party)} has it`,
    ),
  ];
}

function registerLists(psk: Command): void {
  defineCommand(psk, {
    usage: "list",
    description: "pre-shared keys, and who has them",
    examples: ["psk list"],
    async run(session) {
      const { preSharedKeys } = await session.connect();
      const keys = await everyPage(
        (page) => preSharedKeys.listPreSharedKeys(page),
        (page) => page.keys,
      );
      session.answer({ keys }, () =>
        table(
          ["NAME", "GENERATION", "STATE", "MADE", "PARTY", "PARTY"],
          keys.flatMap(({ generations, name }) =>
            generations.slice(-1).map((generation) => [name, ...generationRow(generation)]),
          ),
          "none: claviger psk create NAME --parties A,B",
        ),
      );
    },
  });
  defineCommand(psk, {
    usage: "show <name>",
    description: "a pre-shared key's generations",
    examples: ["psk show vpn-1"],
    async run(session, positional) {
      const { key } = await (await session.connect()).preSharedKeys.getPreSharedKey({
        name: argument(positional),
      });
      const shown = present(key, "the key");
      session.answer(shown, () =>
        table(
          ["GENERATION", "STATE", "MADE", "PARTY", "PARTY"],
          shown.generations.map(generationRow),
          "none",
        ),
      );
    },
  });
}
