import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { Registry } from "../registry.ts";
import { insertDrill, listDrills, lockDrill, updateDrill } from "../store/drills.ts";

const drillsOfList = 100;
const reasonCharactersMax = 500;
const recordBytesMax = 128 * 1024;
const backupIdCharactersMax = 64;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type DrillHandlers = Pick<
  Handlers<typeof KeyMaterialService, Transaction>,
  "recordDrill" | "recordDrillEnd" | "listDrills"
>;

/** What is known of backups that were tried. */
export function drillHandlers(open: (tx: Transaction) => Registry): DrillHandlers {
  return {
    async recordDrill({ backupId, backupMadeAt, by, id }, context) {
      if (!uuid.test(id) || backupMadeAt === undefined || backupId.length > backupIdCharactersMax) {
        throw new DomainError("invalid-argument", "a drill has an id, and a backup that it is of");
      }
      const registry = open(context.unit);
      context.note({ drill: id, backup: backupId });
      await insertDrill(registry.tx, registry.sealer, {
        id,
        begunBy: by,
        backupId,
        backupMadeAt: timestampDate(backupMadeAt),
        begunAt: registry.now,
        endedAt: null,
        outcome: "begun",
        reason: "",
        record: Buffer.alloc(0),
        signature: Buffer.alloc(0),
        signerVersion: 0,
        revision: 1,
      });
      return {};
    },
    async recordDrillEnd({ by, id, outcome, reason, record, signature, signerVersion }, context) {
      if (outcome !== "proved" && outcome !== "failed") {
        throw new DomainError("invalid-argument", "a drill ends as proved or failed");
      }
      if (reason.length > reasonCharactersMax || record.length > recordBytesMax) {
        throw new DomainError("invalid-argument", "what is said of a drill is too long");
      }
      const registry = open(context.unit);
      const row = uuid.test(id) ? await lockDrill(registry.tx, registry.sealer, id) : undefined;
      if (row === undefined || row.begunBy !== by) {
        throw new DomainError("not-found", "there is no such drill, or somebody else began it");
      }
      if (row.outcome !== "begun") {
        throw new DomainError("failed-precondition", `that drill has ended already: ${row.outcome}`);
      }
      context.note({ drill: id, backup: row.backupId, outcome, reason });
      await updateDrill(registry.tx, registry.sealer, {
        ...row,
        endedAt: registry.now,
        outcome,
        reason,
        record: Buffer.from(record),
        signature: Buffer.from(signature),
        signerVersion,
      });
      return {};
    },
    async listDrills(_, { unit }) {
      const rows = await listDrills(unit, open(unit).sealer, drillsOfList);
      return {
        drills: rows.map(({ backupMadeAt, begunAt, begunBy, endedAt, revision: _, ...row }) => ({
          ...row,
          by: begunBy,
          backupMadeAt: timestampFromDate(backupMadeAt),
          begunAt: timestampFromDate(begunAt),
          ...(endedAt === null ? {} : { endedAt: timestampFromDate(endedAt) }),
        })),
      };
    },
  };
}
