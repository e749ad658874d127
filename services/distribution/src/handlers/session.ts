import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AllowSessionsRequestSchema,
  AllowSessionsResponseSchema,
  ForbidSessionsRequestSchema,
  ForbidSessionsResponseSchema,
  OpenSessionRequestSchema,
  OpenSessionResponseSchema,
  type SessionKeyService,
  SessionRuleSchema,
} from "@claviger/proto/distribution/v1/session_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { textField } from "@claviger/signed-request";
import type { ExchangeContext } from "../exchange/context.ts";
import { checkParty, checkPattern, patternsOver } from "../exchange/names.ts";
import { fieldsOf, requireRecipient } from "../exchange/recipients.ts";
import { publish, type Registry } from "../registry.ts";
import { deleteRule, findRule, listRules, type SessionRuleRow, saveRule } from "../store/session-rules.ts";

export function sessionHandlers(shared: ExchangeContext): Handlers<typeof SessionKeyService, Transaction> {
  return {
    ...ruleHandlers(shared),
    async openSession(request, context) {
      const registry = shared.open(context.unit);
      const caller = context.caller.uri;
      const { fields, signed } = fieldsOf(request.signed, "open-session", context);
      const peer = checkParty(shared.trustDomain, textField(fields, "peer"));
      context.concerns(peer);
      const requestHash = hashRequest(OpenSessionRequestSchema, request);
      const asked = { caller, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, OpenSessionResponseSchema, async () => {
        await requireRule(registry, caller, peer);
        const recipient = await requireRecipient(registry, peer);
        const issued = await shared.distribute.issueSessionKey({ signed, peer: recipient });
        const certificateChain = await shared.chains.chainOf(registry, issued.signerVersion, caller);
        const { sealedKey, ticket } = issued;
        return create(OpenSessionResponseSchema, { sealedKey: sealedKey!, ticket, certificateChain });
      });
      return response;
    },
  };
}

/** Before anything is said of the peer: who may not talk to it learns nothing of it. */
async function requireRule({ sealer, tx }: Registry, initiator: string, peer: string): Promise<void> {
  const rule = await findRule(tx, sealer, patternsOver(initiator), patternsOver(peer));
  if (rule !== undefined) return;
  throw new DomainError("denied", `no rule lets ${initiator} open sessions with ${peer}`, {
    hint: "an administrator can add one: claviger sessions allow INITIATOR --peer PEER",
  });
}

function ruleHandlers(shared: ExchangeContext) {
  const patterns = (request: { initiator: string; peer: string }) => ({
    initiator: checkPattern(shared.trustDomain, request.initiator),
    peer: checkPattern(shared.trustDomain, request.peer),
  });
  return {
    async allowSessions(request, context) {
      const registry = shared.open(context.unit);
      const rule = patterns(request);
      context.concerns(`${rule.initiator} ${rule.peer}`);
      const requestHash = hashRequest(AllowSessionsRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AllowSessionsResponseSchema, async () => {
        const row = { ...rule, createdBy: context.caller.uri, createdAt: registry.now };
        const kept = await saveRule(registry.tx, registry.sealer, row);
        await publish(registry, "sessions.allowed", "sessions");
        return create(AllowSessionsResponseSchema, { rule: ruleMessage(kept) });
      });
      return response;
    },
    async forbidSessions(request, context) {
      const registry = shared.open(context.unit);
      const rule = patterns(request);
      context.concerns(`${rule.initiator} ${rule.peer}`);
      const requestHash = hashRequest(ForbidSessionsRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, ForbidSessionsResponseSchema, async () => {
        if (!(await deleteRule(registry.tx, registry.sealer, rule.initiator, rule.peer))) {
          throw new DomainError("not-found", `no rule is for exactly ${rule.initiator} and ${rule.peer}`, {
            hint: "claviger sessions rules lists them",
          });
        }
        await publish(registry, "sessions.forbidden", "sessions");
        return create(ForbidSessionsResponseSchema);
      });
      return response;
    },
    async listSessionRules(request, { unit }) {
      const { sealer } = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listRules(unit, sealer, readPageToken(request.pageToken), limit);
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        rules: rows.map(ruleMessage),
        nextPageToken: pageToken(last && `${last.initiator} ${last.peer}`),
      };
    },
  } satisfies Partial<Handlers<typeof SessionKeyService, Transaction>>;
}

function ruleMessage(row: SessionRuleRow) {
  return create(SessionRuleSchema, {
    initiator: row.initiator,
    peer: row.peer,
    createdBy: row.createdBy,
    createdAt: timestampFromDate(row.createdAt),
  });
}
