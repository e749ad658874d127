import type { Command } from "commander";
import { formatKeyReference, parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { keyTable, keyText } from "../key-text.ts";
import { parseLabels } from "../labels.ts";
import { shortIdentity, table } from "../output.ts";
import { dateOf, relativeTime, shortTime, type TimestampLike } from "../plain.ts";
import { everyPage } from "../session.ts";

interface CallerView {
  version: number;
  caller: string;
  uses: bigint;
  firstUsedAt?: TimestampLike | undefined;
  lastUsedAt?: TimestampLike | undefined;
}

const shownCallersMax = 10;

export function registerViews(keys: Command): void {
  registerList(keys);
  registerShow(keys);
  registerVersions(keys);
  registerCallers(keys);
}

function registerList(keys: Command): void {
  defineCommand<{ label?: string[]; owner?: string }>(keys, {
    usage: "list [keyring]",
    description: "the keys of a keyring, or every key that you may see",
    examples: ["keys list", "keys list payments --json", "keys list --label team=billing --owner user/alice"],
    options: [
      ["--label <name=value...>", "only keys with this label; several: with all of them"],
      ["--owner <O>", "only keys of this owner"],
    ],
    async run(session, positional, { label = [], owner = "" }) {
      const search = {
        keyring: positional[0] ?? "",
        labels: parseLabels(label, "--label"),
        owner: await session.ownerText(owner),
      };
      const claviger = await session.connect();
      const found = await everyPage(
        (page) => claviger.keys.listKeys({ ...search, ...page }),
        (response) => response.keys,
      );
      const searched = label.length > 0 || owner !== "";
      session.answer({ keys: found }, () =>
        searched && found.length === 0 ? "no key is like that" : keyTable(found),
      );
    },
  });
}

function registerShow(keys: Command): void {
  defineCommand(keys, {
    usage: "show <keyring/key>",
    description: "one key: its state, versions, dates, what depends on it, who uses which version",
    examples: ["keys show payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const claviger = await session.connect();
      const { key } = await claviger.keys.getKey({ name });
      const found = present(key, "the key");
      const callers = await everyPage(
        (page) => claviger.keys.listKeyCallers({ name, ...page }),
        (response) => response.callers,
      );
      callers.sort(lastFirst);
      session.answer({ ...found, callers }, () => {
        const facts = keyText(found);
        if (callers.length === 0) return facts;
        const more = callers.length - shownCallersMax;
        const rest = more > 0 ? `\nand ${more} more: claviger keys callers ${name}` : "";
        return `${facts}\n\n${callerTable(callers.slice(0, shownCallersMax))}${rest}`;
      });
    },
  });
}

function registerVersions(keys: Command): void {
  defineCommand(keys, {
    usage: "versions <keyring/key>",
    description: "a key's versions, their states, and how much each is still used",
    examples: ["keys versions payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const claviger = await session.connect();
      const versions = await everyPage(
        (page) => claviger.keys.listKeyVersions({ name, ...page }),
        (response) => response.versions,
      );
      session.answer({ versions }, () => {
        const rows = versions.map((version) => [
          version.version,
          version.state,
          shortTime(version.createdAt).slice(0, 10),
          whatComes(version),
          version.usesMax === 0n ? "" : `${version.usesReserved} of 2^${Math.log2(Number(version.usesMax))}`,
          version.uses === 0n ? "" : `${version.uses} by ${version.callers}`,
          version.lastUsedAt === undefined ? "" : relativeTime(version.lastUsedAt),
        ]);
        const headers = ["VERSION", "STATE", "CREATED", "", "USES SET ASIDE", "USED", "LAST"];
        return table(headers, rows, "no versions");
      });
    },
  });
}

function whatComes(version: {
  current: boolean;
  state: string;
  activateAt?: TimestampLike | undefined;
  expireAt?: TimestampLike | undefined;
  stateReason: string;
}): string {
  const { activateAt, current, expireAt, state, stateReason } = version;
  if (state === "pre-activation" && activateAt !== undefined) return `active from ${shortTime(activateAt)}`;
  const ends = state === "active" && expireAt !== undefined ? `until ${shortTime(expireAt)}` : "";
  if (current) return ends === "" ? "current" : `current, ${ends}`;
  return ends || stateReason;
}

function registerCallers(keys: Command): void {
  defineCommand(keys, {
    usage: "callers <keyring/key[@version]>",
    description: "who uses a key, or still uses one version of it, and since when",
    examples: ["keys callers payments/cards", "keys callers payments/cards@3"],
    async run(session, positional) {
      const reference = parseKeyReference(argument(positional), "optional");
      const claviger = await session.connect();
      const callers = await everyPage(
        (page) => claviger.keys.listKeyCallers({ ...reference, ...page }),
        (response) => response.callers,
      );
      callers.sort(lastFirst);
      session.answer({ callers }, () =>
        callers.length === 0
          ? `nobody is known to have used ${formatKeyReference(reference)}`
          : callerTable(callers),
      );
    },
  });
}

function callerTable(callers: readonly CallerView[]): string {
  const rows = callers.map(({ caller, firstUsedAt, lastUsedAt, uses, version }) => [
    caller === "" ? "(others)" : shortIdentity(caller),
    version,
    uses,
    shortTime(firstUsedAt),
    shortTime(lastUsedAt),
  ]);
  return table(["USED BY", "VERSION", "USES", "FIRST", "LAST"], rows, "");
}

/** By version, and within one who used it last comes first. */
function lastFirst(one: CallerView, other: CallerView): number {
  const at = ({ lastUsedAt }: CallerView): number =>
    lastUsedAt === undefined ? 0 : dateOf(lastUsedAt).getTime();
  return one.version - other.version || at(other) - at(one);
}
