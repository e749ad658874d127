import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest } from "@claviger/idempotency";
import { parseIdentity } from "@claviger/identity";
import {
  type AccessService,
  AddGroupMemberRequestSchema,
  RemoveGroupMemberRequestSchema,
} from "@claviger/proto/storage/v1/access_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { type ConsentOptions, requireConsentOfGroup } from "../consent.ts";
import { addMember, removeMember } from "../groups.ts";
import { checkKeyringName } from "../names.ts";
import { type GroupMemberRow, listGroupMembers } from "../store/groups.ts";

const membersOfList = 1000;
const service = "claviger.storage.v1.AccessService";

export function groupHandlers(
  options: ConsentOptions & { trustDomain: string },
): Pick<Handlers<typeof AccessService, Transaction>, "listGroups" | "addGroupMember" | "removeGroupMember"> {
  const { open, trustDomain } = options;
  const check = (request: { group: string; identity: string }) => {
    const { kind, trustDomain: domain, uri } = parseIdentity(request.identity);
    if (kind === "claviger" || domain !== trustDomain) {
      throw new DomainError("invalid-argument", "groups are of workloads and users of this trust domain");
    }
    return { group: checkKeyringName(request.group), identity: uri };
  };
  return {
    async listGroups({ group }, { unit }) {
      const rows = await listGroupMembers(unit, open(unit).sealer, group, membersOfList);
      return { members: rows.map(memberMessage) };
    },
    async addGroupMember(request, context) {
      const wanted = check(request);
      await requireConsentOfGroup(options, context.caller, {
        method: `${service}/AddGroupMember`,
        permission: "access.grant",
        resource: `group:${wanted.group}`,
        group: wanted.group,
        requestHash: hashRequest(AddGroupMemberRequestSchema, { ...request, requestId: "" }),
        requestId: request.requestId,
      });
      const row = await addMember(open(context.unit), wanted, context.caller);
      context.note({ group: wanted.group });
      return { member: memberMessage(row) };
    },
    async removeGroupMember(request, context) {
      const wanted = check(request);
      await requireConsentOfGroup(options, context.caller, {
        method: `${service}/RemoveGroupMember`,
        permission: "access.grant",
        resource: `group:${wanted.group}`,
        group: wanted.group,
        requestHash: hashRequest(RemoveGroupMemberRequestSchema, { ...request, requestId: "" }),
        requestId: request.requestId,
      });
      await removeMember(open(context.unit), wanted);
      context.note({ group: wanted.group });
      return {};
    },
  };
}

function memberMessage({ addedAt, addedBy, groupName, identity }: GroupMemberRow) {
  return { group: groupName, identity, addedBy, addedAt: timestampFromDate(addedAt) };
}
