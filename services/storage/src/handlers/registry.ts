import type { Transaction } from "@claviger/database";
import type { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { type ScanParts, scanRegistry } from "../registry-scan.ts";

const answerEveryMilliseconds = 500;

export function registryHandlers(parts: ScanParts): Handlers<typeof RegistryService, Transaction> {
  return {
    async *checkRegistry(_, { signal }) {
      let rowsChecked = 0n;
      let answeredAt = performance.now();
      for await (const { findings, rows } of scanRegistry(parts)) {
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
