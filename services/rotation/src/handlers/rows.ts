import type { Transaction } from "@claviger/database";
import type { RowService } from "@claviger/proto/rotation/v1/rows_pb.ts";
import { answerCheck, type RowGuard } from "@claviger/row-ledger";
import type { Handlers } from "@claviger/rpc";

export function rowHandlers(guard: RowGuard): Handlers<typeof RowService, Transaction> {
  return {
    checkRows: (_, { signal }) => answerCheck(guard.scan(), signal),
  };
}
