import { randomUUID } from "node:crypto";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import type { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { drillOutcome, readDrillReport } from "../ceremony/drill-report.ts";
import type { BackupOptions } from "./backup.ts";

const recordVersion = 1;
const failureCharactersMax = 500;
const backupId = /^[0-9A-Za-z-]{1,64}$/;
const recoveryKeyName = /^[0-9a-f]{16}$/;

type DrillHandlers = Pick<
  Handlers<typeof BackupService, undefined>,
  "beginDrill" | "endDrill" | "listDrills"
>;

/** Drills: backups that are tried beside the running installation. */
export function drillHandlers(
  options: Pick<BackupOptions, "attester" | "hsm" | "now" | "storage" | "trustDomain">,
): DrillHandlers {
  const { attester, hsm, now, storage, trustDomain } = options;
  return {
    async beginDrill(request, context) {
      const madeAt = new Date(request.madeAt);
      const { recoveryKey } = request;
      if (!backupId.test(request.backupId) || !recoveryKeyName.test(recoveryKey) || !isDate(madeAt)) {
        throw new DomainError("invalid-argument", "what a backup's header says is wanted");
      }
      const drillId = randomUUID();
      context.note({ drill: drillId, backup: request.backupId, recoveryKey });
      await storage.recordDrill({
        id: drillId,
        by: context.caller.uri,
        backupId: request.backupId,
        backupMadeAt: timestampFromDate(madeAt),
      });
      return { drillId };
    },
    async endDrill({ drillId, failure, mac, report }, context) {
      context.note({ drill: drillId });
      if (report.length === 0) {
        const reason = failure.slice(0, failureCharactersMax) || "nobody said why";
        context.note({ drill: drillId, outcome: "failed", reason });
        await storage.recordDrillEnd({ id: drillId, by: context.caller.uri, outcome: "failed", reason });
        return { outcome: "failed" };
      }
      const read = await readDrillReport(report, mac, (data) => hsm.bindingMac(data));
      if (read.drill !== drillId) {
        throw new DomainError("failed-precondition", "that is the report of another drill");
      }
      const { outcome, reason } = drillOutcome(read);
      context.note({ drill: drillId, backup: read.backup, outcome });
      const text = canonicalJson({
        v: recordVersion,
        kind: "drill",
        trustDomain,
        report: read,
        requester: context.caller.uri,
        module: hsm.describe(),
        attestedAt: now().toISOString(),
      });
      const record = Buffer.from(text, "utf8");
      const signed = await attester.sign(record);
      await storage.recordDrillEnd({ id: drillId, by: context.caller.uri, outcome, reason, ...signed });
      return { ...signed, outcome };
    },
    async listDrills() {
      const { drills } = await storage.listDrills({});
      return {
        drills: drills.map(({ backupMadeAt, begunAt, endedAt, ...drill }) => ({
          id: drill.id,
          backupId: drill.backupId,
          by: drill.by,
          outcome: drill.outcome,
          reason: drill.reason,
          record: drill.record,
          signature: drill.signature,
          signerVersion: drill.signerVersion,
          madeAt: timestampDate(backupMadeAt!).toISOString(),
          begunAt: timestampDate(begunAt!).toISOString(),
          endedAt: endedAt === undefined ? "" : timestampDate(endedAt).toISOString(),
        })),
      };
    },
  };
}

function isDate(date: Date): boolean {
  return !Number.isNaN(date.getTime());
}
