import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { hashRequest, once } from "@claviger/idempotency";
import { parseIdentity } from "@claviger/identity";
import {
  type AccessService,
  GrantRoleRequestSchema,
  GrantRoleResponseSchema,
  RevokeRoleRequestSchema,
  RevokeRoleResponseSchema,
} from "@claviger/proto/storage/v1/access_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { decideAccess } from "../access.ts";
import { explainAccess, permissionNamed } from "../access-explanation.ts";
import type { AccessDecision } from "../access-rules.ts";
import { checkBinding, grantBinding, withdrawBinding } from "../bindings.ts";
import { lintConditions } from "../condition-lint.ts";
import type { ConsentOptions } from "../consent.ts";
import { checkResource } from "../names.ts";
import type { Observations } from "../observations.ts";
import { publish } from "../registry.ts";
import { roles } from "../roles.ts";
import { allBindings, listBindings } from "../store/bindings.ts";
import { deleteRevocation, insertRevocation, listRevocations } from "../store/revocations.ts";
import { groupHandlers } from "./groups.ts";
import { bindingMessage } from "./messages.ts";
import { momentOf } from "./moments.ts";
import { strengthOf } from "./posture.ts";

/** Longer than anybody holds an answer, and within the contract's 32 bits. */
const validMillisecondsMax = 86_400_000;

export function accessHandlers(
  options: ConsentOptions & { trustDomain: string; observe: Observations["note"] },
): Handlers<typeof AccessService, Transaction> {
  const { observe, open, trustDomain } = options;
  return {
    ...groupHandlers(options),
    async listRoles() {
      return {
        roles: Object.entries(roles).map(([name, role]) => ({
          name,
          description: role.description,
          permissions: [...role.permissions],
        })),
      };
    },
    async listBindings(request, { unit }) {
      const { sealer } = open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listBindings(unit, sealer, {
        identity: request.identity,
        after: readPageToken(request.pageToken),
        limit,
      });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        bindings: rows.map(bindingMessage),
        nextPageToken: pageToken(last && `${last.identity} ${last.resource} ${last.role}`),
      };
    },
    async grantRole(request, context) {
      const registry = open(context.unit);
      const wanted = checkBinding(request, trustDomain);
      const caller = { caller: context.caller.uri, requestId: request.requestId };
      const hashed = { ...caller, requestHash: hashRequest(GrantRoleRequestSchema, request) };
      const { response } = await once(registry, hashed, GrantRoleResponseSchema, async () =>
        create(GrantRoleResponseSchema, {
          binding: bindingMessage(await grantBinding(registry, wanted, context.caller)),
        }),
      );
      context.note({ role: request.role, condition: wanted.condition });
      return response;
    },
    async revokeRole(request, context) {
      const registry = open(context.unit);
      const wanted = checkBinding(request, trustDomain);
      const caller = { caller: context.caller.uri, requestId: request.requestId };
      const hashed = { ...caller, requestHash: hashRequest(RevokeRoleRequestSchema, request) };
      const { response } = await once(registry, hashed, RevokeRoleResponseSchema, async () => {
        await withdrawBinding(registry, wanted);
        return create(RevokeRoleResponseSchema, {});
      });
      context.note({ role: request.role });
      return response;
    },
    async explainAccess(request, { unit }) {
      const registry = open(unit);
      const resource = checkResource(request.resource || "*");
      const permission = permissionNamed(request.permission);
      const at = momentOf(request.at, registry.now);
      const occasion = { permission, resource, at };
      const decision = await explainAccess(registry, parseIdentity(request.identity), occasion);
      const { allowed, binding, conditionValue = "", emergency = "", reason } = decision;
      return {
        allowed,
        reason,
        conditionValue,
        emergency,
        ...(binding && { binding: bindingMessage(binding) }),
      };
    },
    async lintConditions(_, { unit }) {
      const registry = open(unit);
      return lintConditions(await allBindings(unit, registry.sealer));
    },
    async decideAccess(request, { unit, note }) {
      const { authentication, ...question } = request;
      const asked = { ...question, ...(authentication && { authentication: strengthOf(authentication) }) };
      const decision = await decideAccess(open(unit), asked);
      observe(asked, decision);
      const { allowed, emergency, needsApproval = false, reason } = decision;
      note({ permission: request.permission, allowed, ...(emergency && { emergency }) });
      return { allowed, reason, needsApproval, validMilliseconds: validMilliseconds(decision) };
    },
    async listRevocations(request, { unit }) {
      const limit = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken);
      const rows = await listRevocations(unit, open(unit).sealer, after, limit);
      return {
        revocations: rows.map(({ reason, subject }) => ({ subject, reason })),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.subject),
      };
    },
    async recordRevocation(request, { unit, note }) {
      const registry = open(unit);
      const subject =
        request.identity === ""
          ? `serial:${request.certificateSerial}`
          : `identity:${parseIdentity(request.identity).uri}`;
      if (request.revoked) {
        await insertRevocation(unit, registry.sealer, {
          subject,
          reason: request.reason,
          revokedAt: registry.now,
        });
      } else {
        await deleteRevocation(unit, registry.sealer, { subject, now: registry.now });
      }
      note({ serial: request.certificateSerial, reason: request.reason, revoked: request.revoked });
      await publish(registry, "access.changed", "revocations");
      return {};
    },
  };
}

/** Never the zero that says "without an end": what ends within this millisecond is not held. */
function validMilliseconds({ unchangedMilliseconds }: AccessDecision): number {
  if (unchangedMilliseconds === undefined) return 0;
  return Math.min(validMillisecondsMax, Math.max(1, Math.floor(unchangedMilliseconds)));
}
