import type { Transaction } from "@claviger/database";
import type { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { listEndings } from "../endings.ts";
import { type ScanParts, scanRegistry } from "../registry-scan.ts";

const answerEveryMilliseconds = 500;

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
