import type { Database, Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { Identity } from "@claviger/identity";
import { type Claim, claimApproval, rulesFor } from "./approvals.ts";
import type { Registry } from "./registry.ts";
import { type ApprovalRuleRow, listApprovalRules } from "./store/approval-rules.ts";

export interface Change {
  method: string;
  permission: string;
  resource: string;
  requestHash: Uint8Array;
  requestId: string;
}

export interface ConsentOptions {
  database: Database;
  open: (tx: Transaction) => Registry;
}

/** For a request that the access decision said needs it: an approval is used up, or one is waited for. */
export async function claimUnderRules({ database, open }: ConsentOptions, claim: Claim) {
  // In a transaction of its own: what is asked for stays asked for, though the caller is refused.
  return database.transaction(async (tx) => {
    const registry = open(tx);
    const rules = await rulesFor(registry, claim.permission, claim.resource);
    return claimApproval(registry, rules, claim);
  });
}

/** To change a rule takes what it asks for until then: otherwise it would bind only those who let it. */
export async function requireConsent(
  options: ConsentOptions,
  caller: Identity,
  change: Change,
): Promise<void> {
  await requireOf(
    options,
    caller,
    change,
    (rule) => rule.permission === change.permission && rule.resource === change.resource,
  );
}

/** So does changing who is in a group whose members approve: what each of its rules asks for. */
export async function requireConsentOfGroup(
  options: ConsentOptions,
  caller: Identity,
  change: Change & { group: string },
): Promise<void> {
  await requireOf(options, caller, change, ({ groupName }) => groupName === change.group);
}

async function requireOf(
  { database, open }: ConsentOptions,
  caller: Identity,
  change: Change,
  concerns: (rule: ApprovalRuleRow) => boolean,
): Promise<void> {
  // In a transaction of its own: what is asked for stays asked for, though the caller is refused.
  const answer = await database.transaction(async (tx) => {
    const registry = open(tx);
    const rules = (await listApprovalRules(tx, registry.sealer, "")).filter(concerns);
    if (rules.length === 0) return undefined;
    // Of rules with the same group the strictest: one approval meets them all.
    const strictest = rules.reduce((most, rule) => (rule.required > most.required ? rule : most));
    const { method, permission, requestHash, requestId, resource } = change;
    const request = `a change of who approves ${permission} on ${resource}`;
    const claim = { identity: caller.uri, method, permission, resource, requestHash, request, requestId };
    return claimApproval(registry, [strictest], claim);
  });
  if (answer === undefined || answer.granted) return;
  throw needsApproval(answer);
}

function needsApproval({ group, id, wanting }: { id: string; wanting: number; group: string }): DomainError {
  return new DomainError(
    "failed-precondition",
    `this takes ${wanting} more ${wanting === 1 ? "approval" : "approvals"} of group ${group}: request ${id} waits`,
    { hint: `they run claviger approvals approve ${id}; then run the same command again` },
  );
}
