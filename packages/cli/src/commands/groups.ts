import {
  type Claviger,
  createGroup,
  currentGroupKey,
  type GroupKey,
  groupKeys,
  joinGroup,
  leaveGroup,
  watchGroupKeys,
} from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseWholeNumber } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { secretMode, writeOutput } from "../files.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";

export function register(program: Command): void {
  const groups = program
    .command("groups")
    .description("groups whose members share a key, renewed whenever one joins or leaves");
  registerChanges(groups);
  registerKey(groups);
  registerLists(groups);
}

interface GroupView {
  name: string;
  generation: number;
  members: number;
}

function say(session: Session, group: GroupView): void {
  const { generation, members, name } = group;
  session.answer(group, () => `${name} has ${members} members and generation ${generation} of its key`);
}

function registerChanges(groups: Command): void {
  defineCommand(groups, {
    usage: "create <group>",
    description: "make a group; nobody is in it yet",
    examples: ["groups create sensors"],
    async run(session, positional) {
      say(session, await createGroup(await session.connect(), argument(positional)));
    },
  });
  defineCommand<{ member: string }>(groups, {
    usage: "join <group>",
    description: "let identities in: they get the key from its next generation on",
    examples: ["groups join sensors --member billing", "groups join sensors --member billing,ledger"],
    options: [["--member <identities>", "billing, user/alice, or several with commas between", "required"]],
    async run(session, positional, { member }) {
      const members = await identities(session, member);
      say(session, await joinGroup(await session.connect(), argument(positional), members));
    },
  });
  defineCommand<{ member?: string }>(groups, {
    usage: "leave <group>",
    description: "leave a group, or take others out: the key gets its next generation",
    examples: ["groups leave sensors", "groups leave sensors --member billing"],
    options: [["--member <identities>", "others than this identity, with commas between"]],
    async run(session, positional, { member }) {
      const claviger = await session.connect();
      const members = member === undefined ? [await self(claviger)] : await identities(session, member);
      say(session, await leaveGroup(claviger, argument(positional), members));
    },
  });
}

async function identities(session: Session, list: string): Promise<string[]> {
  return Promise.all(list.split(",").map((name) => session.identityUri(name.trim())));
}

async function self({ identity, trustDomain }: Claviger): Promise<string> {
  const { identityFromSubjectAltName } = await import("@claviger/identity");
  return identityFromSubjectAltName(identity.leaf.subjectAltName, trustDomain).uri;
}

function registerKey(groups: Command): void {
  defineCommand<{ out: string; after?: string; watch?: boolean }>(groups, {
    usage: "key <group>",
    description: "for a member: the group's key, the newest generation, or all after one that it has",
    examples: [
      "groups key sensors --out sensors.key",
      "groups key sensors --after 7 --out sensors.{}.key",
      "groups key sensors --watch --out sensors.{}.key",
    ],
    options: [
      ["--out <file>", "where to; {} in its name stands for the generation", "required"],
      ["--after <generation>", "every generation after this one; --out must have {}"],
      ["--watch", "stay, and write each further generation as it is made, until Ctrl-C"],
    ],
    async run(session, positional, { after, out, watch = false }) {
      const group = argument(positional);
      if (after !== undefined && !out.includes("{}")) {
        throw new DomainError("invalid-argument", "several generations may come, and --out names one file", {
          hint: "put {} where the generation goes: --out group.{}.key",
        });
      }
      const claviger = await session.connect();
      const written: Written[] = [];
      let newest: number;
      if (after === undefined) {
        using key = await currentGroupKey(claviger, group);
        written.push(write(key, out));
        newest = key.generation;
      } else {
        newest = parseWholeNumber(after, "--after", { min: 0, max: 2 ** 31 - 1 });
        for (;;) {
          const { keys } = await groupKeys(claviger, { group, afterGeneration: newest });
          if (keys.length === 0) break;
          for (const opened of keys) {
            using key = opened;
            written.push(write(key, out));
            newest = key.generation;
          }
        }
      }
      session.answer({ group, keys: written }, () =>
        written.length === 0
          ? `${group} has no generation after ${newest}`
          : written.map(({ file, generation }) => `generation ${generation} in ${file}`).join("\n"),
      );
      if (watch) await follow(session, claviger, { group, afterGeneration: newest }, out);
    },
  });
}

interface Written {
  generation: number;
  file: string;
}

function write({ generation, key }: GroupKey, out: string): Written {
  const file = out.replaceAll("{}", String(generation));
  writeOutput(file, key.expose(), { mode: secretMode });
  return { generation, file };
}

async function follow(
  session: Session,
  claviger: Claviger,
  from: { group: string; afterGeneration: number },
  out: string,
): Promise<void> {
  const interrupted = new AbortController();
  process.removeAllListeners("SIGINT");
  process.once("SIGINT", () => interrupted.abort());
  session.notice("waiting for the next generation; Ctrl-C ends this");
  for await (const opened of watchGroupKeys(claviger, from, { signal: interrupted.signal })) {
    using key = opened;
    const { file, generation } = write(key, out);
    session.notice(`generation ${generation} in ${file}`);
  }
}

function registerLists(groups: Command): void {
  defineCommand(groups, {
    usage: "list",
    description: "groups, and the generation of each one's key",
    examples: ["groups list"],
    async run(session) {
      const { groups: service } = await session.connect();
      const found = await everyPage(
        (page) => service.listKeyGroups(page),
        (page) => page.groups,
      );
      session.answer({ groups: found }, () =>
        table(
          ["GROUP", "MEMBERS", "GENERATION", "RENEWED"],
          found.map(({ generation, members, name, renewedAt }) => [
            name,
            members,
            generation,
            shortTime(renewedAt),
          ]),
          "no groups: claviger groups create GROUP",
        ),
      );
    },
  });
  defineCommand(groups, {
    usage: "show <group>",
    description: "who is in a group, and since which generation",
    examples: ["groups show sensors"],
    async run(session, positional) {
      const name = argument(positional);
      const { groups: service } = await session.connect();
      const { group } = await service.getKeyGroup({ name, pageSize: 1 });
      const members = await everyPage(
        (page) => service.getKeyGroup({ name, ...page }),
        (page) => page.members,
      );
      session.answer({ ...group, members }, () =>
        table(
          ["MEMBER", "SINCE GENERATION"],
          members.map(({ identity, joined }) => [shortIdentity(identity), joined]),
          "nobody is in it: claviger groups join GROUP --member IDENTITY",
        ),
      );
    },
  });
}
