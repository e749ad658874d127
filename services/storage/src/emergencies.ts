import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { Identity } from "@claviger/identity";
import { decidePermission } from "./access.ts";
import { freshEmergency, freshEmergencyRules, freshUnreviewed } from "./freshness.ts";
import { publish, type Registry } from "./registry.ts";
import {
  type EmergencyRow,
  insertEmergency,
  lockExpired,
  stateOfEmergency,
  unreviewedMax,
  updateEmergency,
} from "./store/emergencies.ts";
import {
  deleteEmergencyRule,
  type EmergencyRuleRow,
  emergencyRulesMax,
  insertEmergencyRule,
  listEmergencyRules,
} from "./store/emergency-rules.ts";
import { justAfter } from "./store/withdrawals.ts";

export const minutesMax = 1440;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const reasonCharacters = { min: 10, max: 500 };

type WantedRule = Pick<EmergencyRuleRow, "identity" | "role" | "resource">;

export async function setEmergencyRule(
  registry: Registry,
  wanted: WantedRule & { minutesMax: number },
  by: Identity,
): Promise<EmergencyRuleRow> {
  const { now, sealer, tx } = registry;
  if (wanted.minutesMax < 1 || wanted.minutesMax > minutesMax) {
    throw new DomainError("invalid-argument", `an emergency lasts 1 to ${minutesMax} minutes`);
  }
  const replaces = await removeRule(registry, wanted);
  const rules = await listEmergencyRules(tx, sealer, "");
  if (rules.length >= emergencyRulesMax) {
    throw new DomainError("exhausted", `there are ${emergencyRulesMax} rules for emergencies already`);
  }
  const row = { ...wanted, createdBy: by.uri, createdAt: replaces ? justAfter(now) : now };
  await insertEmergencyRule(tx, sealer, row);
  await publish(registry, "emergency.rule-changed", "rules");
  return row;
}

export async function removeEmergencyRule(registry: Registry, wanted: WantedRule): Promise<void> {
  if (!(await removeRule(registry, wanted))) {
    throw new DomainError(
      "not-found",
      `no rule lets ${wanted.identity} take ${wanted.role} on ${wanted.resource} in an emergency`,
    );
  }
  await publish(registry, "emergency.rule-changed", "rules");
}

async function removeRule({ now, sealer, tx }: Registry, wanted: WantedRule): Promise<boolean> {
  const rules = await listEmergencyRules(tx, sealer, wanted.identity);
  const old = rules.find(({ resource, role }) => resource === wanted.resource && role === wanted.role);
  if (old !== undefined) await deleteEmergencyRule(tx, sealer, old, now);
  return old !== undefined;
}

/** @throws DomainError `denied` for whom no rule names; `exhausted` where too many wait for their review */
export async function openEmergency(
  registry: Registry,
  wanted: { role: string; resource: string; reason: string; minutes: number },
  by: Identity,
): Promise<EmergencyRow> {
  const { now, sealer, tx } = registry;
  const reason = checkText("reason", wanted.reason);
  const rules = await freshEmergencyRules(registry, by.uri);
  const rule = rules.find(({ resource, role }) => resource === wanted.resource && role === wanted.role);
  if (rule === undefined) {
    const known = rules.map(({ resource, role }) => `${role} on ${resource}`).join(", ");
    throw new DomainError("denied", `no rule lets this identity take ${wanted.role} on ${wanted.resource}`, {
      hint: known === "" ? undefined : `rules name it for ${known}`,
    });
  }
  const minutes = wanted.minutes === 0 ? rule.minutesMax : wanted.minutes;
  if (minutes > rule.minutesMax) {
    throw new DomainError("invalid-argument", `the rule gives ${rule.minutesMax} minutes at most`);
  }
  const earlier = await freshUnreviewed(registry, by.uri, unreviewedMax);
  if (earlier.length >= unreviewedMax) {
    throw new DomainError(
      "exhausted",
      `${unreviewedMax} emergencies of this identity wait for their review`,
      {
        hint: "somebody else reviews them: claviger access emergency review ID",
      },
    );
  }
  const row: EmergencyRow = {
    id: randomUUID(),
    identity: by.uri,
    role: rule.role,
    resource: rule.resource,
    reason,
    openedAt: now,
    expiresAt: new Date(now.getTime() + minutes * 60_000),
    endedAt: null,
    endedBy: "",
    reviewedAt: null,
    reviewedBy: "",
    justified: false,
    note: "",
    revision: 1,
  };
  await insertEmergency(tx, sealer, row);
  await publish(registry, "access.changed", "emergencies");
  await tell(registry, "emergency.opened", row);
  return row;
}

/** By who opened it, or by who may grant there. */
export async function closeEmergency(registry: Registry, id: string, by: Identity): Promise<EmergencyRow> {
  const row = await requireEmergency(registry, id, by);
  if (row.identity !== by.uri) await requireThere(registry, by, "access.grant", row);
  if (stateOfEmergency(row, registry.now) !== "open") {
    throw new DomainError("failed-precondition", `emergency ${id} has ended already`);
  }
  return end(registry, row, { endedAt: registry.now, endedBy: by.uri });
}

/** @throws DomainError `denied` for who opened it; `failed-precondition` where it is open, or was reviewed */
export async function reviewEmergency(
  registry: Registry,
  id: string,
  { by, justified, note }: { by: Identity; justified: boolean; note: string },
): Promise<EmergencyRow> {
  const row = await requireEmergency(registry, id, by);
  if (row.identity === by.uri) {
    throw new DomainError("denied", "an emergency is reviewed by somebody else than who opened it");
  }
  await requireThere(registry, by, "access.review", row);
  const state = stateOfEmergency(row, registry.now);
  if (state === "open") {
    throw new DomainError("failed-precondition", `emergency ${id} is still open`, {
      hint: `it is reviewed once it has ended: claviger access emergency close ${id}`,
    });
  }
  if (state === "reviewed") {
    throw new DomainError("already-exists", `emergency ${id} was reviewed by ${row.reviewedBy} already`);
  }
  const reviewed = await updateEmergency(registry.tx, registry.sealer, {
    ...row,
    endedAt: row.endedAt ?? row.expiresAt,
    reviewedAt: registry.now,
    reviewedBy: by.uri,
    justified,
    note: checkText("note", note),
  });
  await tell(registry, "emergency.reviewed", reviewed);
  return reviewed;
}

/** Writes down the end of one whose time is over, and tells of it; false where there is none. What it gave ended with its time. */
export async function endExpired(registry: Registry): Promise<EmergencyRow | undefined> {
  const row = await lockExpired(registry.tx, registry.sealer, registry.now);
  return row && end(registry, row, { endedAt: row.expiresAt, endedBy: "" });
}

async function end(
  registry: Registry,
  row: EmergencyRow,
  by: Pick<EmergencyRow, "endedAt" | "endedBy">,
): Promise<EmergencyRow> {
  const ended = await updateEmergency(registry.tx, registry.sealer, { ...row, ...by });
  await publish(registry, "access.changed", "emergencies");
  await tell(registry, "emergency.ended", ended);
  return ended;
}

/** Who it is stands in the row, for whoever may read it. */
function tell(
  registry: Registry,
  type: string,
  { expiresAt, id, resource, role }: EmergencyRow,
): Promise<void> {
  return publish(registry, type, id, { role, resource, expiresAt: expiresAt.toISOString() });
}

/** To whom it does not concern there is none. */
async function requireEmergency(registry: Registry, id: string, by: Identity): Promise<EmergencyRow> {
  const row = uuidPattern.test(id) ? await freshEmergency(registry, id) : undefined;
  const reads =
    row !== undefined &&
    (row.identity === by.uri ||
      (await decidePermission(registry, by, "access.get", row.resource)).allowed ||
      (await decidePermission(registry, by, "access.grant", row.resource)).allowed);
  if (!reads)
    throw new DomainError("not-found", `there is no emergency ${id.slice(0, 40)} that concerns this caller`);
  return row;
}

async function requireThere(
  registry: Registry,
  by: Identity,
  permission: string,
  { id, identity, resource }: EmergencyRow,
): Promise<void> {
  const decision = await decidePermission(registry, by, permission, resource);
  // What an emergency gives is not used on emergencies.
  if (decision.allowed && decision.emergency === undefined) return;
  throw new DomainError(
    "denied",
    `${permission} on ${resource} is wanted for emergency ${id} of ${identity}`,
  );
}

function checkText(what: string, text: string): string {
  const trimmed = text.trim();
  if (trimmed.length < reasonCharacters.min || trimmed.length > reasonCharacters.max) {
    throw new DomainError(
      "invalid-argument",
      `a ${what} has ${reasonCharacters.min} to ${reasonCharacters.max} characters`,
      { hint: "say what has happened, and who knows of it" },
    );
  }
  return trimmed;
}
