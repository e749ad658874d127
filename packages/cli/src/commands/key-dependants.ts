import type { Command } from "commander";
import { parseChoice, parseComing, parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { parseLabels } from "../labels.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime, type TimestampLike } from "../plain.ts";
import type { Session } from "../session.ts";

interface HoldView {
  id: string;
  kind: string;
  holder: string;
  reason: string;
  placedAt?: TimestampLike | undefined;
  expiresAt?: TimestampLike | undefined;
}

/** What depends on a key, and what people say of it. */
export function registerDependants(keys: Command): void {
  registerLabel(keys);
  registerConsumers(keys);
  registerHolds(keys);
}

interface LabelOptions {
  remove?: string[];
  owner?: string;
  description?: string;
}

function registerLabel(keys: Command): void {
  defineCommand<LabelOptions>(keys, {
    usage: "label <keyring/key> [name=value...]",
    description: "set or remove labels of a key, its owner, its description",
    examples: [
      "keys label payments/cards team=billing environment=production",
      'keys label payments/cards --remove environment --owner "the billing team"',
    ],
    options: [
      ["--remove <name...>", "take these labels away"],
      ["--owner <O>", "who answers for the key: user/alice, a team"],
      ["--description <text>", "what the key is for"],
    ],
    async run(session, positional, { description, owner, remove = [] }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const labels = parseLabels((positional[1] ?? []) as unknown as string[], "a label");
      const claviger = await session.connect();
      const { key } = await claviger.keys.describeKey({
        name,
        labels,
        removeLabels: remove,
        ...(owner === undefined ? {} : { owner: await session.ownerText(owner) }),
        ...(description === undefined ? {} : { description }),
      });
      const found = present(key, "the key");
      const all = Object.entries(found.labels).map(([label, value]) => `${label}=${value}`);
      session.answer(found, () => `${name} is labelled ${all.join(" ") || "nothing"}`);
    },
  });
}

async function holdsOf(session: Session, name: string): Promise<readonly HoldView[]> {
  const claviger = await session.connect();
  return present((await claviger.keys.getKey({ name })).key, "the key").holds;
}

function registerConsumers(keys: Command): void {
  const consumers = keys
    .command("consumers")
    .description("who depends on a key: while there is one, it is not destroyed");
  defineCommand<{ who: string; reason?: string; until?: string }>(consumers, {
    usage: "add <keyring/key>",
    description: "register an identity that depends on a key",
    examples: ['keys consumers add payments/cards --who billing --reason "reads the card archive"'],
    options: [
      ["--who <identity>", "such as billing or user/alice", "required"],
      ["--reason <text>", "what it needs the key for"],
      ["--until <moment>", "ends by itself then: 2027-01-31, or 90d from now"],
    ],
    async run(session, positional, { reason = "depends on it", until, who }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const holder = await session.identityUri(who);
      const claviger = await session.connect();
      const { hold } = await claviger.keys.placeHold({
        name,
        kind: "consumer",
        holder,
        reason,
        ...(await endOf(until)),
      });
      session.answer(present(hold, "the consumer"), () => `${who} is a consumer of ${name}`);
    },
  });
  defineCommand(consumers, {
    usage: "list <keyring/key>",
    description: "the registered consumers of a key",
    examples: ["keys consumers list payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const found = (await holdsOf(session, name)).filter(({ kind }) => kind === "consumer");
      session.answer({ consumers: found }, () => holdTable(found, `${name} has no registered consumers`));
    },
  });
  defineCommand<{ who: string }>(consumers, {
    usage: "remove <keyring/key>",
    description: "say that an identity no longer depends on a key",
    examples: ["keys consumers remove payments/cards --who billing"],
    options: [["--who <identity>", "such as billing or user/alice", "required"]],
    async run(session, positional, { who }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const holder = await session.identityUri(who);
      const found = (await holdsOf(session, name)).find(
        (hold) => hold.kind === "consumer" && hold.holder === holder,
      );
      if (found === undefined) {
        const { DomainError } = await import("@claviger/domain-error");
        throw new DomainError("not-found", `${who} is no consumer of ${name}`, {
          hint: `claviger keys consumers list ${name}`,
        });
      }
      await (await session.connect()).keys.releaseHold({ name, holdId: found.id });
      session.answer({ name, removed: holder }, () => `${who} no longer is a consumer of ${name}`);
    },
  });
}

function registerHolds(keys: Command): void {
  const holds = keys.command("holds").description("what keeps a key from being destroyed");
  defineCommand<{ reason: string; kind?: string; until?: string }>(holds, {
    usage: "place <keyring/key>",
    description: "keep a key from being destroyed",
    examples: ['keys holds place payments/cards --kind legal --reason "case 17/2027"'],
    options: [
      ["--reason <text>", "why", "required"],
      ["--kind <K>", "hold (the default), legal, certificate or campaign"],
      ["--until <moment>", "ends by itself then: 2027-01-31, or 90d from now"],
    ],
    async run(session, positional, { kind = "hold", reason, until }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const chosen = parseChoice(kind, "--kind", ["hold", "legal", "certificate", "campaign"] as const);
      const claviger = await session.connect();
      const { hold } = await claviger.keys.placeHold({ name, kind: chosen, reason, ...(await endOf(until)) });
      const placed = present(hold, "the hold");
      session.answer(placed, () => `${name} is held: claviger keys holds release ${name} --id ${placed.id}`);
    },
  });
  defineCommand(holds, {
    usage: "list <keyring/key>",
    description: "everything that depends on a key",
    examples: ["keys holds list payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const found = await holdsOf(session, name);
      session.answer({ holds: found }, () => holdTable(found, `nothing holds ${name}`));
    },
  });
  defineCommand<{ id: string }>(holds, {
    usage: "release <keyring/key>",
    description: "end a hold: your own, a consumer's, or a legal one",
    examples: ["keys holds release payments/cards --id 6f9619ff-8b86-4d01-b42d-00cf4fc964ff"],
    options: [["--id <id>", "as `keys holds list` shows it", "required"]],
    async run(session, positional, { id }) {
      const { name } = parseKeyReference(argument(positional), "none");
      if (!/^[0-9a-f-]{36}$/.test(id))
        throw usageError("--id is not a hold's id", `claviger keys holds list ${name}`);
      await (await session.connect()).keys.releaseHold({ name, holdId: id });
      session.answer({ name, released: id }, () => `the hold on ${name} is released`);
    },
  });
}

async function endOf(until: string | undefined) {
  if (until === undefined) return {};
  const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
  return { expiresAt: timestampFromDate(parseComing(until, "--until")) };
}

function holdTable(holds: readonly HoldView[], empty: string): string {
  const rows = holds.map(({ expiresAt, holder, id, kind, placedAt, reason }) => [
    id,
    kind,
    shortIdentity(holder),
    reason,
    shortTime(placedAt).slice(0, 10),
    shortTime(expiresAt),
  ]);
  return table(["ID", "KIND", "WHO", "WHY", "SINCE", "UNTIL"], rows, empty);
}
