import type { Command } from "commander";
import { argument, defineCommand } from "../define-command.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";

const memberOption = ["--member <identity>", "billing, user/alice or a whole SPIFFE ID", "required"] as const;

export function register(access: Command): void {
  const groups = access
    .command("groups")
    .description("groups of identities: roles are granted to group:NAME");
  defineCommand<{ of?: string }>(groups, {
    usage: "list",
    description: "who is in which group",
    examples: ["access groups list", "access groups list --of security-officers"],
    options: [["--of <group>", "one group's members alone"]],
    async run(session, _, { of }) {
      const { members } = await (await session.connect()).access.listGroups({ group: of ?? "" });
      const shown = members.map(({ addedAt, addedBy, group, identity }) => ({
        group,
        identity,
        addedBy,
        addedAt: shortTime(addedAt),
      }));
      session.answer({ members: shown }, () =>
        table(
          ["GROUP", "MEMBER", "BY", "SINCE"],
          shown.map((row) => [
            row.group,
            shortIdentity(row.identity),
            shortIdentity(row.addedBy),
            row.addedAt,
          ]),
          "no groups",
        ),
      );
    },
  });
  defineCommand<{ member: string }>(groups, {
    usage: "add <group>",
    description: "put an identity into a group; the first makes the group",
    examples: ["access groups add security-officers --member user/alice"],
    options: [memberOption],
    async run(session, positional, { member }) {
      const [group, identity] = [argument(positional), await session.identityUri(member)];
      await (await session.connect()).access.addGroupMember({ group, identity });
      session.answer({ group, identity }, () => `${identity} is in group ${group}`);
    },
  });
  defineCommand<{ member: string }>(groups, {
    usage: "remove <group>",
    description: "take an identity out of a group",
    examples: ["access groups remove security-officers --member user/alice"],
    options: [memberOption],
    async run(session, positional, { member }) {
      const [group, identity] = [argument(positional), await session.identityUri(member)];
      await (await session.connect()).access.removeGroupMember({ group, identity });
      session.answer({ group, identity }, () => `${identity} is not in group ${group} any more`);
    },
  });
}
