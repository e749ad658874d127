import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Database, Transaction } from "@claviger/database";
import { hashRequest, once } from "@claviger/idempotency";
import {
  type EmergencyService,
  OpenEmergencyRequestSchema,
  OpenEmergencyResponseSchema,
} from "@claviger/proto/storage/v1/emergency_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { decidePermission } from "../access.ts";
import { checkBinding, checkMember } from "../bindings.ts";
import {
  closeEmergency,
  endExpired,
  openEmergency,
  removeEmergencyRule,
  reviewEmergency,
  setEmergencyRule,
} from "../emergencies.ts";
import { checkResource } from "../names.ts";
import type { Registry } from "../registry.ts";
import { type EmergencyRow, listEmergencies, stateOfEmergency } from "../store/emergencies.ts";
import { type EmergencyRuleRow, listEmergencyRules } from "../store/emergency-rules.ts";

const emergenciesOfList = 200;

export interface EmergencyOptions {
  open: (tx: Transaction) => Registry;
  /** Told once it is true. */
  onEmergency: (what: string, row: EmergencyRow) => void;
}

export function emergencyHandlers(
  options: EmergencyOptions & { trustDomain: string },
): Handlers<typeof EmergencyService, Transaction> {
  const { onEmergency, open, trustDomain } = options;
  const check = (request: { identity: string; role: string; resource: string }) => {
    const { resource, role } = checkBinding(request, trustDomain);
    return { role, resource, identity: checkMember(request.identity, trustDomain) };
  };
  return {
    async listEmergencyRules(_, { unit }) {
      const rules = await listEmergencyRules(unit, open(unit).sealer, "");
      return { rules: rules.map(ruleMessage) };
    },
    async setEmergencyRule(request, { caller, note, unit }) {
      const wanted = { ...check(request), minutesMax: request.minutesMax };
      const row = await setEmergencyRule(open(unit), wanted, caller);
      note({ role: row.role, minutesMax: row.minutesMax });
      return { rule: ruleMessage(row) };
    },
    async removeEmergencyRule(request, { note, unit }) {
      await removeEmergencyRule(open(unit), check(request));
      note({ role: request.role });
      return {};
    },
    async openEmergency(request, { caller, note, unit }) {
      const registry = open(unit);
      const { minutes, reason, requestId, role } = request;
      const wanted = { role, resource: checkResource(request.resource || "*"), reason, minutes };
      const requestHash = hashRequest(OpenEmergencyRequestSchema, request);
      const hashed = { caller: caller.uri, requestId, requestHash };
      const { response } = await once(registry, hashed, OpenEmergencyResponseSchema, async () => {
        const row = await openEmergency(registry, wanted, caller);
        unit.afterCommit(() => onEmergency("an emergency was opened", row));
        return create(OpenEmergencyResponseSchema, { emergency: emergencyMessage(row, registry.now) });
      });
      note({ role, reason, emergency: response.emergency?.id ?? "" });
      return response;
    },
    async closeEmergency({ id }, { caller, note, unit }) {
      const registry = open(unit);
      const row = await closeEmergency(registry, id, caller);
      unit.afterCommit(() => onEmergency("an emergency was closed", row));
      note({ emergency: id, target: row.resource });
      return { emergency: emergencyMessage(row, registry.now) };
    },
    async reviewEmergency({ id, justified, note: text }, { caller, note, unit }) {
      const registry = open(unit);
      const row = await reviewEmergency(registry, id, { by: caller, justified, note: text });
      unit.afterCommit(() => onEmergency("an emergency was reviewed", row));
      note({ emergency: id, target: row.resource, justified });
      return { emergency: emergencyMessage(row, registry.now) };
    },
    async listEmergencies({ unreviewed }, { caller, unit }) {
      const registry = open(unit);
      const everybody = (await decidePermission(registry, caller, "access.get", "*")).allowed;
      const filter = { identity: everybody ? "" : caller.uri, unreviewed, limit: emergenciesOfList };
      const rows = await listEmergencies(unit, registry.sealer, filter);
      return { emergencies: rows.map((row) => emergencyMessage(row, registry.now)) };
    },
  };
}

/** What gave power has ended with its time already; this writes it down and tells of it, once among replicas. */
export async function endOneExpired({
  database,
  onEmergency,
  open,
}: EmergencyOptions & { database: Database }): Promise<boolean> {
  const row = await database.transaction((tx) => endExpired(open(tx)));
  if (row !== undefined) onEmergency("an emergency has ended", row);
  return row !== undefined;
}

function ruleMessage({ createdAt, ...row }: EmergencyRuleRow) {
  return { ...row, createdAt: timestampFromDate(createdAt) };
}

function emergencyMessage(row: EmergencyRow, now: Date) {
  const { endedAt, expiresAt, openedAt, reviewedAt } = row;
  const state = stateOfEmergency(row, now);
  const ended = endedAt ?? (state === "open" ? undefined : expiresAt);
  return {
    id: row.id,
    identity: row.identity,
    role: row.role,
    resource: row.resource,
    reason: row.reason,
    state,
    openedAt: timestampFromDate(openedAt),
    expiresAt: timestampFromDate(expiresAt),
    endedBy: row.endedBy,
    reviewedBy: row.reviewedBy,
    verdict: state !== "reviewed" ? "" : row.justified ? "justified" : "unjustified",
    note: row.note,
    ...(ended === undefined ? {} : { endedAt: timestampFromDate(ended) }),
    ...(reviewedAt === null ? {} : { reviewedAt: timestampFromDate(reviewedAt) }),
  };
}
