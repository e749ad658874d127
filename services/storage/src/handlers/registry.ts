import type { Database, Transaction } from "@claviger/database";
import type { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import type { RowSealer } from "@claviger/row-seal";
import type { Handlers } from "@claviger/rpc";
import { scanRegistry } from "../registry-scan.ts";

const answerEveryMilliseconds = 500;

export function registryHandlers(
  database: Database,
  sealer: RowSealer,
): Handlers<typeof RegistryService, Transaction> {
  return {
    async *checkRegistry(_, { signal }) {
      let rowsChecked = 0n;
      let answeredAt = performance.now();
      for await (const { findings, rows } of scanRegistry(database, sealer)) {
        if (signal.aborted) return;
        rowsChecked += BigInt(rows);
        if (findings.length === 0 && performance.now() - answeredAt < answerEveryMilliseconds) continue;
        answeredAt = performance.now();
        yield { rowsChecked, findings, done: false };
      }
      yield { rowsChecked, findings: [], done: true };
    },
  };
}
