import type { Transaction } from "@claviger/database";
import type { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import { answerCheck, type ScanParts } from "@claviger/row-ledger";
import type { Handlers } from "@claviger/rpc";
import { listEndings } from "../endings.ts";
import { scanRegistry } from "../registry-scan.ts";

export function registryHandlers(
  parts: ScanParts & { trustDomain: string },
): Handlers<typeof RegistryService, Transaction> {
  return {
    async *listEndings(_, { signal }) {
      const { trustDomain } = parts;
      for await (const page of listEndings(parts, { trustDomain, now: new Date() })) {
        if (signal.aborted) return;
        yield { endings: page.map(({ ending, seal }) => ({ ...ending, seal })) };
      }
    },
    checkRegistry: (_, { signal }) => answerCheck(scanRegistry(parts), signal),
  };
}
