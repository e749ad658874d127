import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PolicyChangeSchema } from "@claviger/proto/storage/v1/policy_pb.ts";
import { parseMoment } from "./arguments.ts";
import { usageError } from "./errors.ts";

export type PolicyChange = MessageInitShape<typeof PolicyChangeSchema> & {
  scope: string;
};

export interface Expectation {
  identity: string;
  permission: string;
  resource: string;
  at: Date | undefined;
  allow: boolean;
}

export interface PolicyFile {
  /** Undefined where the file changes nothing. */
  change: PolicyChange | undefined;
  expectations: Expectation[];
}

/** `billing`, `user/alice` or `group:NAME` as a whole. */
export type NameIdentity = (name: string) => Promise<string>;

const hint = "docs/policies.md shows what a policy file has";
const expectationsMax = 10_000;
const fields = ["scope", "bindings", "groups", "add", "remove", "expectations"] as const;

type Fields = Record<string, unknown>;

/** YAML, or JSON, which is YAML as well. @throws DomainError `invalid-argument`, which says where */
export async function parsePolicyFile(text: string, nameIdentity: NameIdentity): Promise<PolicyFile> {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw usageError(`the policy cannot be read: ${problem.message}`, hint);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw usageError(`the policy cannot be read: ${(cause as Error).message}`, hint, cause);
  }
  const file = object(value, "the policy", fields);
  const reader = new Reader(nameIdentity);
  return { change: await reader.change(file), expectations: await reader.expectations(file.expectations) };
}

class Reader {
  readonly #nameIdentity: NameIdentity;

  constructor(nameIdentity: NameIdentity) {
    this.#nameIdentity = nameIdentity;
  }

  async change(file: Fields): Promise<PolicyChange | undefined> {
    const { add, bindings, groups, remove, scope } = file;
    if ([add, bindings, groups, remove].every((part) => part === undefined)) return undefined;
    const parts = ["bindings", "groups"] as const;
    const added = object(add ?? {}, "add", parts);
    const removed = object(remove ?? {}, "remove", parts);
    if (bindings !== undefined && (added.bindings ?? removed.bindings) !== undefined) {
      throw usageError(
        "the policy has all bindings, and some to add or remove",
        "say it one way or the other",
      );
    }
    return {
      scope: scope === undefined ? "*" : text(scope, "scope"),
      complete: bindings !== undefined,
      bindings: await this.#bindings(
        bindings ?? added.bindings,
        bindings === undefined ? "add.bindings" : "bindings",
      ),
      removedBindings: await this.#bindings(removed.bindings, "remove.bindings"),
      groups: await this.#groups(groups, "groups"),
      addedMembers: (await this.#groups(added.groups, "add.groups")).flatMap(membersOf),
      removedMembers: (await this.#groups(removed.groups, "remove.groups")).flatMap(membersOf),
    };
  }

  async expectations(value: unknown): Promise<Expectation[]> {
    const all: Expectation[] = [];
    for (const [at, entry] of list(value ?? [], "expectations").entries()) {
      const place = `expectations[${at + 1}]`;
      const row = object(entry, place, ["who", "may", "on", "expect", "at"]);
      const expect = text(row.expect, `${place}.expect`);
      if (expect !== "allow" && expect !== "deny") throw usageError(`${place}.expect is allow or deny`, hint);
      const moment = row.at === undefined ? undefined : parseMoment(momentText(row.at), `${place}.at`);
      for (const who of texts(row.who, `${place}.who`)) {
        const identity = await this.#nameIdentity(who);
        for (const permission of texts(row.may, `${place}.may`)) {
          for (const resource of texts(row.on, `${place}.on`)) {
            all.push({ identity, permission, resource, at: moment, allow: expect === "allow" });
          }
        }
      }
      if (all.length > expectationsMax)
        throw usageError(`there are more than ${expectationsMax} expectations`);
    }
    return all;
  }

  async #bindings(value: unknown, place: string) {
    return Promise.all(
      list(value ?? [], place).map(async (entry, at) => {
        const row = object(entry, `${place}[${at + 1}]`, ["role", "to", "on", "when"]);
        return {
          role: text(row.role, `${place}[${at + 1}].role`),
          identity: await this.#nameIdentity(text(row.to, `${place}[${at + 1}].to`)),
          resource: text(row.on, `${place}[${at + 1}].on`),
          condition: row.when === undefined ? "" : text(row.when, `${place}[${at + 1}].when`),
        };
      }),
    );
  }

  async #groups(value: unknown, place: string) {
    const groups = Object.entries(object(value ?? {}, place));
    return Promise.all(
      groups.map(async ([name, members]) => ({
        name,
        members: await Promise.all(
          list(members ?? [], `${place}.${name}`).map((member) =>
            this.#nameIdentity(text(member, `${place}.${name}`)),
          ),
        ),
      })),
    );
  }
}

function membersOf({ members, name }: { name: string; members: string[] }) {
  return members.map((identity) => ({ group: name, identity }));
}

function object(value: unknown, place: string, known?: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw usageError(`${place} is not a list of names and values`, hint);
  }
  const strange = known && Object.keys(value).find((name) => !known.includes(name));
  if (strange !== undefined) {
    throw usageError(`${place} has "${strange.slice(0, 40)}", which is none of ${known?.join(", ")}`, hint);
  }
  return value as Fields;
}

function list(value: unknown, place: string): unknown[] {
  if (!Array.isArray(value)) throw usageError(`${place} is not a list`, hint);
  return value;
}

function text(value: unknown, place: string): string {
  if (typeof value !== "string" || value === "") throw usageError(`${place} is not a text`, hint);
  return value;
}

/** One, or several. */
function texts(value: unknown, place: string): string[] {
  return Array.isArray(value) ? value.map((one) => text(one, place)) : [text(value, place)];
}

function momentText(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}
