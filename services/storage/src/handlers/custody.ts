import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import {
  adoptRecoveryKey,
  checkRecoveryKey,
  foreignWraps,
  replaceRecoveryWrap,
  wrapsOfPage,
} from "../custody.ts";
import { publish, type Registry } from "../registry.ts";
import { insertAcknowledgement, listAcknowledgements } from "../store/custody-acknowledgements.ts";

const acknowledgementsMax = 1000;
const sharesMax = 16;

type CustodyHandlers = Pick<
  Handlers<typeof KeyMaterialService, Transaction>,
  "adoptRecoveryKey" | "listForeignRecoveryWraps" | "replaceRecoveryWraps" | "recordCustody" | "listCustody"
>;

export function custodyHandlers(open: (tx: Transaction) => Registry): CustodyHandlers {
  return {
    async adoptRecoveryKey({ from, to }, context) {
      context.note({ from, to });
      await adoptRecoveryKey(open(context.unit), { from, to });
      return {};
    },
    async listForeignRecoveryWraps({ recoveryKey }, { unit }) {
      return { wraps: await foreignWraps(open(unit), recoveryKey) };
    },
    async replaceRecoveryWraps({ recoveryKey, replacements }, context) {
      if (replacements.length > wrapsOfPage) {
        throw new DomainError("invalid-argument", `at most ${wrapsOfPage} wraps are replaced at once`);
      }
      const registry = open(context.unit);
      let replaced = 0;
      for (const one of replacements) {
        if (await replaceRecoveryWrap(registry, recoveryKey, one)) replaced += 1;
      }
      context.note({ recoveryKey, replaced });
      return { replaced };
    },
    async recordCustody({ identity, recoveryKey, share }, context) {
      if (share < 1 || share > sharesMax) throw new DomainError("invalid-argument", "there is no such share");
      const { uri } = parseIdentity(identity);
      context.note({ recoveryKey, share });
      const registry = open(context.unit);
      const row = {
        recoveryKey: checkRecoveryKey(recoveryKey),
        share,
        identity: uri,
        acknowledgedAt: registry.now,
      };
      if (await insertAcknowledgement(registry.tx, registry.sealer, row)) {
        await publish(registry, "custody.acknowledged", "recovery", { recoveryKey, share });
      }
      return {};
    },
    async listCustody({ recoveryKey }, { unit }) {
      const { sealer } = open(unit);
      const rows = await listAcknowledgements(
        unit,
        sealer,
        checkRecoveryKey(recoveryKey),
        acknowledgementsMax,
      );
      return {
        custodians: rows.map(({ acknowledgedAt, identity, share }) => ({
          share,
          identity,
          acknowledgedAt: timestampFromDate(acknowledgedAt),
        })),
      };
    },
  };
}
