import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  CreateGroupRequestSchema,
  CreateGroupResponseSchema,
  type GroupKeyService,
  JoinGroupRequestSchema,
  JoinGroupResponseSchema,
  KeyGroupSchema,
  LeaveGroupRequestSchema,
  LeaveGroupResponseSchema,
  type WatchGroupKeysRequest,
} from "@claviger/proto/distribution/v1/group_pb.ts";
import type { SignedRequest } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { type CallContext, type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { listField, textField } from "@claviger/signed-request";
import type { ExchangeContext } from "../exchange/context.ts";
import { createGate } from "../exchange/group-signal.ts";
import { changeGroup, createGroup, type GroupChange, keysFor } from "../exchange/groups.ts";
import { checkName, checkParty } from "../exchange/names.ts";
import { fieldsOf } from "../exchange/recipients.ts";
import { listMembers } from "../store/group-members.ts";
import { findGroup, type KeyGroupRow, listGroups } from "../store/key-groups.ts";

const membersAtOnce = 500;
const watchersMax = 20_000;
/** After a renewal everybody asks at once: so many are served at a time, and requests for other things between them. */
const watchersServedAtOnce = 8;
/** Events wake watchers; this is for when the bus is away. With ten thousand of them, some eighty looks in a second. */
const lookAgainMilliseconds = 120_000;

type GroupHandlers = Handlers<typeof GroupKeyService, Transaction>;

export function groupHandlers(shared: ExchangeContext): GroupHandlers {
  return {
    ...changeHandlers(shared),
    ...memberHandlers(shared),
    async getKeyGroup(request, { unit }) {
      const { sealer } = shared.open(unit);
      const name = checkName(request.name, "group");
      const group = await findGroup(unit, sealer, name);
      if (group === undefined) throw new DomainError("not-found", `there is no group ${name}`);
      const limit = pageSize(request.pageSize);
      const rows = await listMembers(unit, sealer, name, readPageToken(request.pageToken), limit);
      return {
        group: groupMessage(group),
        members: rows.map(({ identity, joined }) => ({ identity, joined })),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.identity),
      };
    },
    async listKeyGroups(request, { unit }) {
      const { sealer } = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listGroups(unit, sealer, readPageToken(request.pageToken), limit);
      return {
        groups: rows.map(groupMessage),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.name),
      };
    },
  };
}

function changeHandlers(
  shared: ExchangeContext,
): Pick<GroupHandlers, "createGroup" | "joinGroup" | "leaveGroup"> {
  const change = async (
    request: { signed?: SignedRequest | undefined },
    does: "join" | "leave",
    context: CallContext<Transaction>,
  ): Promise<GroupChange> => {
    const { fields, signed } = fieldsOf(request.signed, `${does}-group`, context);
    const members = listField(fields, "members").map((member) => checkParty(shared.trustDomain, member));
    if (members.length === 0 || members.length > membersAtOnce || new Set(members).size < members.length) {
      throw new DomainError("invalid-argument", `1 to ${membersAtOnce} different members change at a time`);
    }
    const alone = members.length === 1 && members[0] === context.caller.uri;
    if (does === "join" || !alone) await requireManager(shared, context);
    context.concerns(members.length === 1 ? members[0]! : `${members.length} members`);
    return { name: checkName(textField(fields, "group"), "group"), members, does, signed };
  };
  return {
    async createGroup(request, context) {
      const registry = shared.open(context.unit);
      const { fields, signed } = fieldsOf(request.signed, "create-group", context);
      const name = checkName(textField(fields, "group"), "group");
      const requestHash = hashRequest(CreateGroupRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, CreateGroupResponseSchema, async () =>
        create(CreateGroupResponseSchema, {
          group: groupMessage(await createGroup(shared, registry, name, signed)),
        }),
      );
      context.note({ group: name });
      return response;
    },
    async joinGroup(request, context) {
      const registry = shared.open(context.unit);
      const wanted = await change(request, "join", context);
      const requestHash = hashRequest(JoinGroupRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, JoinGroupResponseSchema, async () =>
        create(JoinGroupResponseSchema, { group: groupMessage(await changeGroup(shared, registry, wanted)) }),
      );
      context.note({ group: wanted.name, generation: response.group?.generation ?? 0 });
      return response;
    },
    async leaveGroup(request, context) {
      const registry = shared.open(context.unit);
      const wanted = await change(request, "leave", context);
      const requestHash = hashRequest(LeaveGroupRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, LeaveGroupResponseSchema, async () =>
        create(LeaveGroupResponseSchema, {
          group: groupMessage(await changeGroup(shared, registry, wanted)),
        }),
      );
      context.note({ group: wanted.name, generation: response.group?.generation ?? 0 });
      return response;
    },
  };
}

/** A member may leave by itself, so the policy row lets anyone in; everything else is a manager's. */
async function requireManager(
  shared: ExchangeContext,
  { caller, certificateSerial }: CallContext<unknown>,
): Promise<void> {
  const permission = "exchange.manage";
  const answer = await shared.decide({ identity: caller.uri, certificateSerial, permission, resource: "*" });
  if (!answer.allowed) {
    throw new DomainError("denied", answer.reason, { hint: "an administrator changes who is in a group" });
  }
}

function memberHandlers(shared: ExchangeContext): Pick<GroupHandlers, "getGroupKeys" | "watchGroupKeys"> {
  let watchers = 0;
  const gate = createGate(watchersServedAtOnce);
  return {
    async getGroupKeys({ afterGeneration, name }, { caller, note, unit }) {
      const registry = shared.open(unit);
      const found = await keysFor(shared, registry, caller.uri, checkName(name, "group"), afterGeneration);
      note({ group: name, keys: found.keys.length });
      return found;
    },
    async *watchGroupKeys(request, context) {
      checkName(request.name, "group");
      if (watchers >= watchersMax) {
        throw new DomainError("exhausted", "this replica serves as many watchers as it may", {
          hint: "try again later",
        });
      }
      watchers += 1;
      try {
        yield* watch(shared, gate, request, context);
      } finally {
        watchers -= 1;
      }
    },
  };
}

async function* watch(
  shared: ExchangeContext,
  gate: ReturnType<typeof createGate>,
  { afterGeneration, name }: WatchGroupKeysRequest,
  { caller, certificateSerial, signal }: CallContext<undefined>,
) {
  let after = afterGeneration;
  while (!signal.aborted) {
    // A stream outlives decisions: whoever has been revoked meanwhile gets no further key.
    const answer = await shared.decide({
      identity: caller.uri,
      certificateSerial,
      permission: "",
      resource: "*",
    });
    if (!answer.allowed) throw new DomainError("denied", answer.reason);
    // Before it is looked, so that no renewal falls between looking and waiting.
    const woken = shared.renewals.wait(name, lookAgainMilliseconds * (0.75 + Math.random() / 2), signal);
    const found = await gate(() =>
      shared.inTransaction((registry) => keysFor(shared, registry, caller.uri, name, after)),
    );
    const { certificateChain, currentGeneration } = found;
    for (const key of found.keys) {
      after = key.generation;
      yield { key, currentGeneration, certificateChain };
    }
    if (after >= currentGeneration) await woken;
  }
}

function groupMessage(row: KeyGroupRow) {
  return create(KeyGroupSchema, {
    name: row.name,
    generation: row.generation,
    members: row.members,
    createdAt: timestampFromDate(row.createdAt),
    renewedAt: timestampFromDate(row.renewedAt),
  });
}
