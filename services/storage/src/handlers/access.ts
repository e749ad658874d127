import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import { type Identity, parseIdentity } from "@claviger/identity";
import {
  type AccessService,
  GrantRoleRequestSchema,
  GrantRoleResponseSchema,
  RevokeRoleRequestSchema,
  RevokeRoleResponseSchema,
} from "@claviger/proto/storage/v1/access_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { decideAccess, decidePermission } from "../access.ts";
import { rulesFor } from "../approvals.ts";
import type { ConsentOptions } from "../consent.ts";
import { checkKeyringName, checkResource } from "../names.ts";
import { publish, type Registry } from "../registry.ts";
import { isRole, roles } from "../roles.ts";
import {
  type BindingRow,
  bindingsOf,
  deleteBinding,
  insertBinding,
  listBindings,
  lockOfRole,
} from "../store/bindings.ts";
import { deleteRevocation, insertRevocation, listRevocations } from "../store/revocations.ts";
import { groupHandlers } from "./groups.ts";
import { bindingMessage } from "./messages.ts";

export function accessHandlers(
  options: ConsentOptions & { trustDomain: string },
): Handlers<typeof AccessService, Transaction> {
  const { open, trustDomain } = options;
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
          binding: bindingMessage(await grant(registry, wanted, context.caller)),
        }),
      );
      context.note({ role: request.role });
      return response;
    },
    async revokeRole(request, context) {
      const registry = open(context.unit);
      const wanted = checkBinding(request, trustDomain);
      const caller = { caller: context.caller.uri, requestId: request.requestId };
      const hashed = { ...caller, requestHash: hashRequest(RevokeRoleRequestSchema, request) };
      const { response } = await once(registry, hashed, RevokeRoleResponseSchema, async () => {
        await takeBack(registry, wanted);
        return create(RevokeRoleResponseSchema, {});
      });
      context.note({ role: request.role });
      return response;
    },
    async explainAccess(request, { unit }) {
      const registry = open(unit);
      const resource = checkResource(request.resource || "*");
      const identity = parseIdentity(request.identity);
      // As the methods are called, too: cryptography.decrypt is keys.decrypt.
      const permission = request.permission.replace(/^(cryptography|key)\./, "keys.");
      const decision = await decidePermission(registry, identity, permission, resource);
      const rules = identity.kind === "claviger" ? [] : await rulesFor(registry, permission, resource);
      const wants = rules.map(({ groupName, required }) => `${required} of group ${groupName}`).join(" and ");
      const { binding, ...found } = decision;
      const rest = {
        allowed: found.allowed,
        reason: !found.allowed
          ? `${found.reason}${found.reason.startsWith("no role") ? nearest(permission, resource) : ""}`
          : `${found.reason}${wants === "" ? "" : `; each time with the approval of ${wants}`}`,
      };
      if (binding === undefined) return rest;
      const row = (await bindingsOf(unit, registry.sealer, request.identity)).find(
        ({ id }) => id === binding.id,
      );
      return row === undefined ? rest : { ...rest, binding: bindingMessage(row) };
    },
    async decideAccess(request, { unit, note }) {
      const { allowed, needsApproval = false, reason } = await decideAccess(open(unit), request);
      note({ permission: request.permission, allowed });
      return { allowed, reason, needsApproval };
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

/** The smallest grant that would change a no. */
function nearest(permission: string, resource: string): string {
  const fitting = Object.entries(roles)
    .filter(([, role]) => (role.permissions as readonly string[]).includes(permission))
    .sort(([, one], [, other]) => one.permissions.length - other.permissions.length);
  const [role] = fitting[0] ?? [];
  return role === undefined ? "" : `; missing: role ${role} on ${resource}`;
}

const groupPrefix = "group:";

type Wanted = Pick<BindingRow, "role" | "identity" | "resource">;

function checkBinding(request: Wanted, trustDomain: string): Wanted {
  if (!isRole(request.role)) {
    throw new DomainError("invalid-argument", `"${request.role.slice(0, 40)}" is not a role`, {
      hint: `roles are ${Object.keys(roles).join(", ")}`,
    });
  }
  if (request.identity.startsWith(groupPrefix)) {
    const group = checkKeyringName(request.identity.slice(groupPrefix.length));
    return {
      role: request.role,
      identity: `${groupPrefix}${group}`,
      resource: checkResource(request.resource),
    };
  }
  const identity = parseIdentity(request.identity);
  if (identity.kind === "claviger" || identity.trustDomain !== trustDomain) {
    throw new DomainError("invalid-argument", "roles are for workloads and users of this trust domain");
  }
  return { role: request.role, identity: identity.uri, resource: checkResource(request.resource) };
}

async function grant(registry: Registry, wanted: Wanted, by: Identity): Promise<BindingRow> {
  const row = { ...wanted, id: randomUUID(), createdBy: by.uri, createdAt: registry.now };
  if (!(await insertBinding(registry.tx, registry.sealer, row))) {
    throw new DomainError(
      "already-exists",
      `${wanted.identity} has ${wanted.role} on ${wanted.resource} already`,
    );
  }
  await publish(registry, "access.changed", "bindings");
  return row;
}

async function takeBack(registry: Registry, wanted: Wanted): Promise<void> {
  const bindings = await bindingsOf(registry.tx, registry.sealer, wanted.identity);
  const row = bindings.find(({ resource, role }) => role === wanted.role && resource === wanted.resource);
  if (row === undefined) {
    throw new DomainError("not-found", `${wanted.identity} has no ${wanted.role} on ${wanted.resource}`);
  }
  const last =
    wanted.role === "administrator" &&
    wanted.resource === "*" &&
    (await lockOfRole(registry.tx, "administrator", "*")) === 1;
  if (last) {
    throw new DomainError("failed-precondition", "this is the last administrator of the installation", {
      hint: "grant administrator on * to somebody else first",
    });
  }
  await deleteBinding(registry.tx, registry.sealer, row, registry.now);
  await publish(registry, "access.changed", "bindings");
}
