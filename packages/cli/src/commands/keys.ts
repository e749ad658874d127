import type { Command } from "commander";
import {
  formatKeyReference,
  parseChoice,
  parseDays,
  parseDuration,
  parseKeyReference,
} from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { type KeyView, keyTable, keyText } from "../key-text.ts";
import { table } from "../output.ts";
import { isoTime, shortTime } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";
import { registerAttest, registerDestructionCertificate } from "./attest.ts";
import { registerExport, registerImport } from "./key-transfer.ts";
import { registerPublic } from "./public-key.ts";

export function register(program: Command): void {
  const keys = program.command("keys").description("a key's life, from creation to destruction");
  registerCreate(keys);
  registerList(keys);
  registerShow(keys);
  registerVersions(keys);
  registerPublic(keys);
  registerAttest(keys);
  registerDestructionCertificate(keys);
  registerImport(keys);
  registerExport(keys);
  registerRotate(keys);
  registerStates(keys);
  registerRevoke(keys);
  registerDestroy(keys);
  registerRestore(keys);
}

interface CreateOptions {
  algorithm: string;
  protection?: string;
  exportable?: boolean;
  rotateEvery?: string;
  destroyAfter?: string;
}

function registerCreate(keys: Command): void {
  defineCommand<CreateOptions>(keys, {
    usage: "create <keyring/key>",
    description: "make a key and its first version",
    examples: [
      "keys create payments/cards --algorithm aes-256-gcm --rotate-every 90d",
      "keys create payments/signing --algorithm ecdsa-p256 --protection hsm",
    ],
    options: [
      ["--algorithm <A>", "such as aes-256-gcm or ecdsa-p256; docs/algorithms.md has all", "required"],
      ["--protection <P>", "software (the default) or hsm: every operation inside the HSM"],
      ["--exportable", "may leave Claviger, sealed to a recipient; fixed for good"],
      ["--rotate-every <duration>", "make a new version after each such time, such as 90d"],
      ["--destroy-after <days>", "how long a destruction can be taken back, 7d to 90d; 30d by default"],
    ],
    async run(session, positional, options) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { algorithm, protection, exportable = false, rotateEvery, destroyAfter } = options;
      const request = {
        name,
        algorithm,
        exportable,
        protection:
          protection === undefined
            ? ""
            : parseChoice(protection, "--protection", ["software", "hsm"] as const),
        destroyAfterDays: destroyAfter === undefined ? 0 : parseDays(destroyAfter, "--destroy-after"),
        rotationPeriodSeconds:
          rotateEvery === undefined ? 0n : BigInt(parseDuration(rotateEvery, "--rotate-every")),
      };
      const claviger = await session.connect();
      const { key } = await claviger.keyGeneration.createKey(request);
      answerKey(
        session,
        key,
        (made) => `${made.name} is ${made.state}: ${made.algorithm}, ${made.protection}`,
      );
    },
  });
}

function registerList(keys: Command): void {
  defineCommand(keys, {
    usage: "list [keyring]",
    description: "the keys of a keyring, or every key that you may see",
    examples: ["keys list", "keys list payments --json"],
    async run(session, positional) {
      const claviger = await session.connect();
      const keyring = positional[0] ?? "";
      const found = await everyPage(
        (page) => claviger.keys.listKeys({ keyring, ...page }),
        (response) => response.keys,
      );
      session.answer({ keys: found }, () => keyTable(found));
    },
  });
}

function registerShow(keys: Command): void {
  defineCommand(keys, {
    usage: "show <keyring/key>",
    description: "one key: its state, versions, holds, and when it will be destroyed",
    examples: ["keys show payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { key } = await (await session.connect()).keys.getKey({ name });
      answerKey(session, key, keyText);
    },
  });
}

function registerVersions(keys: Command): void {
  defineCommand(keys, {
    usage: "versions <keyring/key>",
    description: "a key's versions and their states",
    examples: ["keys versions payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const claviger = await session.connect();
      const versions = await everyPage(
        (page) => claviger.keys.listKeyVersions({ name, ...page }),
        (response) => response.versions,
      );
      session.answer({ versions }, () => {
        const rows = versions.map(({ version, state, createdAt, current, usesMax, usesReserved }) => [
          version,
          state,
          shortTime(createdAt),
          usesMax === 0n ? "" : `${usesReserved} of 2^${Math.log2(Number(usesMax))}`,
          current ? "current" : "",
        ]);
        return table(["VERSION", "STATE", "CREATED", "USES SET ASIDE", ""], rows, "no versions");
      });
    },
  });
}

function registerRotate(keys: Command): void {
  defineCommand(keys, {
    usage: "rotate <keyring/key>",
    description: "make the next version, which new encryptions and signatures use from then on",
    examples: ["keys rotate payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { key } = await (await session.connect()).keyGeneration.createKeyVersion({ name });
      answerKey(session, key, (now) => `${now.name} is at version ${now.currentVersion}`);
    },
  });
}

function registerStates(keys: Command): void {
  const moves = [
    {
      verb: "disable",
      state: "suspended",
      description: "stop every use of a key or a version, until it is enabled",
    },
    { verb: "enable", state: "active", description: "let a disabled key or version be used again" },
  ];
  for (const { verb, state, description } of moves) {
    defineCommand(keys, {
      usage: `${verb} <keyring/key[@version]>`,
      description,
      examples: [`keys ${verb} payments/cards`, `keys ${verb} payments/cards@2`],
      async run(session, positional) {
        const reference = parseKeyReference(argument(positional), "optional");
        const { key } = await (await session.connect()).keys.changeKeyState({ ...reference, state });
        answerKey(session, key, () => `${formatKeyReference(reference)} is ${state}`);
      },
    });
  }
}

/** The key may be in other hands: what it protected is in doubt, not only what it will protect. */
const compromiseReasons = ["keyCompromise", "cACompromise", "aACompromise"];

function registerRevoke(keys: Command): void {
  defineCommand<{ reason: string }>(keys, {
    usage: "revoke <keyring/key[@version]>",
    description: "end a key's or a version's protecting for good; what it protected can still be read",
    examples: [
      "keys revoke payments/cards --reason keyCompromise",
      "keys revoke payments/cards@1 --reason superseded",
    ],
    options: [["--reason <R>", "an RFC 5280 reason name, such as keyCompromise or superseded", "required"]],
    async run(session, positional, { reason }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const { isRevocationReason, revocationReasons } = await import("@claviger/x509");
      if (!isRevocationReason(reason)) {
        const names = Object.keys(revocationReasons).filter(isRevocationReason);
        throw usageError(`--reason is ${JSON.stringify(reason)}`, `it must be one of ${names.join(", ")}`);
      }
      const state = compromiseReasons.includes(reason) ? "compromised" : "deactivated";
      const { key } = await (await session.connect()).keys.changeKeyState({ ...reference, state, reason });
      answerKey(session, key, () => `${formatKeyReference(reference)} is ${state}`);
    },
  });
}

function registerDestroy(keys: Command): void {
  defineCommand(keys, {
    usage: "destroy <keyring/key>",
    description: "stop every use of a key now, and destroy it when its destruction period ends",
    examples: ["keys destroy payments/cards"],
    async run(session, positional) {
      const text = argument(positional);
      if (text.includes("@")) {
        throw usageError(
          "a single version is not destroyed, only a whole key",
          `end the version with: claviger keys revoke ${text} --reason superseded`,
        );
      }
      const { name } = parseKeyReference(text, "none");
      const { key } = await (await session.connect()).keys.destroyKey({ name });
      answerKey(session, key, (doomed) => {
        const day = doomed.destroyAt === undefined ? "at once" : `on ${isoTime(doomed.destroyAt)}`;
        return `${name} will be destroyed ${day}; until then: claviger keys restore ${name}`;
      });
    },
  });
}

function registerRestore(keys: Command): void {
  defineCommand(keys, {
    usage: "restore <keyring/key>",
    description: "take a destruction back before its day has come",
    examples: ["keys restore payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { key } = await (await session.connect()).keys.restoreKey({ name });
      answerKey(session, key, (kept) => `${kept.name} is kept, and ${kept.state}`);
    },
  });
}

function answerKey(session: Session, key: KeyView | undefined, text: (key: KeyView) => string): void {
  const found = present(key, "the key");
  session.answer(found, () => text(found));
}
