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
import type { KeyView } from "../key-text.ts";
import { parseLabels } from "../labels.ts";
import { isoTime } from "../plain.ts";
import type { Session } from "../session.ts";
import { registerAttest, registerDestructionCertificate } from "./attest.ts";
import { registerDependants } from "./key-dependants.ts";
import { type DateOptions, dateOptions, datesOf, registerSchedule } from "./key-schedule.ts";
import { registerExport, registerImport } from "./key-transfer.ts";
import { registerViews } from "./key-views.ts";
import { registerPublic } from "./public-key.ts";

export function register(program: Command): void {
  const keys = program.command("keys").description("a key's life, from creation to destruction");
  registerCreate(keys);
  registerViews(keys);
  registerPublic(keys);
  registerAttest(keys);
  registerDestructionCertificate(keys);
  registerImport(keys);
  registerExport(keys);
  registerRotate(keys);
  registerStates(keys);
  registerSchedule(keys);
  registerDependants(keys);
  registerRevoke(keys);
  registerDestroy(keys);
  registerRestore(keys);
}

interface CreateOptions extends DateOptions {
  label?: string[];
  owner?: string;
  description?: string;
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
      ...dateOptions,
      ["--label <name=value...>", "by which it is found: keys list --label team=billing"],
      ["--owner <O>", "who answers for the key: user/alice, a team; whoever makes it where left out"],
      ["--description <text>", "what the key is for"],
    ],
    async run(session, positional, options) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { algorithm, protection, exportable = false, rotateEvery, destroyAfter } = options;
      const request = {
        name,
        algorithm,
        ...(await datesOf(options)),
        labels: parseLabels(options.label ?? [], "--label"),
        owner: await session.ownerText(options.owner ?? ""),
        description: options.description ?? "",
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
        (made) => `${made.name} is ${made.state}${whenActive(made)}: ${made.algorithm}, ${made.protection}`,
      );
    },
  });
}

function registerRotate(keys: Command): void {
  defineCommand<DateOptions>(keys, {
    usage: "rotate <keyring/key>",
    description: "make the next version, which new encryptions and signatures use from then on",
    examples: ["keys rotate payments/cards", "keys rotate payments/signing --activate-at 7d"],
    options: [
      ["--activate-at <moment>", "the version waits until then, and its public half can be had before"],
      dateOptions[1],
    ],
    async run(session, positional, options) {
      const { name } = parseKeyReference(argument(positional), "none");
      const request = { name, ...(await datesOf(options)) };
      const { key } = await (await session.connect()).keyGeneration.createKeyVersion(request);
      answerKey(session, key, (now) =>
        now.latestVersion > now.currentVersion
          ? `${now.name}@${now.latestVersion} is there, and waits; until then version ${now.currentVersion} goes on`
          : `${now.name} is at version ${now.currentVersion}`,
      );
    },
  });
}

function registerStates(keys: Command): void {
  const moves = [
    {
      verb: "disable",
      state: "suspended",
      reason: "certificateHold",
      description: "stop every use of a key or a version, until it is enabled",
    },
    {
      verb: "enable",
      state: "active",
      reason: "investigated",
      description: "let a disabled key or version be used again, or one that waits for its activation",
    },
  ];
  for (const { verb, state, reason, description } of moves) {
    defineCommand<{ reason?: string }>(keys, {
      usage: `${verb} <keyring/key[@version]>`,
      description,
      examples: [`keys ${verb} payments/cards`, `keys ${verb} payments/cards@2 --reason ${reason}`],
      options: [["--reason <R>", `why, such as ${reason}; kept and shown`]],
      async run(session, positional, options) {
        const reference = parseKeyReference(argument(positional), "optional");
        const change = { ...reference, state, reason: options.reason ?? "" };
        const { key } = await (await session.connect()).keys.changeKeyState(change);
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
    options: [
      [
        "--reason <R>",
        "an RFC 5280 name, such as keyCompromise or superseded; or cryptoperiodEnded",
        "required",
      ],
    ],
    async run(session, positional, { reason }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const { reasonsFor } = await import("@claviger/lifecycle");
      const names: readonly string[] = reasonsFor("deactivated");
      if (!names.includes(reason)) {
        throw usageError(`--reason is ${JSON.stringify(reason)}`, `it must be one of ${names.join(", ")}`);
      }
      const state = compromiseReasons.includes(reason) ? "compromised" : "deactivated";
      const { key } = await (await session.connect()).keys.changeKeyState({ ...reference, state, reason });
      answerKey(session, key, () => `${formatKeyReference(reference)} is ${state}`);
    },
  });
}

function registerDestroy(keys: Command): void {
  defineCommand<{ despiteHolds?: boolean }>(keys, {
    usage: "destroy <keyring/key>",
    description: "stop every use of a key now, and destroy it when its destruction period ends",
    examples: ["keys destroy payments/cards", "keys destroy payments/cards --despite-holds"],
    options: [["--despite-holds", "although something depends on it: takes the approval of others"]],
    async run(session, positional, { despiteHolds = false }) {
      const text = argument(positional);
      if (text.includes("@")) {
        throw usageError(
          "a single version is not destroyed, only a whole key",
          `end the version with: claviger keys revoke ${text} --reason superseded`,
        );
      }
      const { name } = parseKeyReference(text, "none");
      const { keys: registry } = await session.connect();
      const { key } = await (despiteHolds
        ? registry.destroyHeldKey({ name })
        : registry.destroyKey({ name }));
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

function whenActive({ activateAt, state }: KeyView): string {
  return state === "pre-activation" && activateAt !== undefined ? ` until ${isoTime(activateAt)}` : "";
}

function answerKey(session: Session, key: KeyView | undefined, text: (key: KeyView) => string): void {
  const found = present(key, "the key");
  session.answer(found, () => text(found));
}
