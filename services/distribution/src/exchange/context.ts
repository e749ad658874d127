import type { DecideAccess } from "@claviger/access";
import type { Client } from "@claviger/client";
import type { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { RequestVerifier } from "@claviger/signed-request";
import type { DistributionContext } from "../context.ts";
import type { Registry } from "../registry.ts";
import type { GroupSignal } from "./group-signal.ts";
import type { TicketChains } from "./ticket-chains.ts";

/** What the handlers that hand out keys share besides. */
export interface ExchangeContext extends DistributionContext {
  distribute: Client<typeof KeyDistributionService>;
  chains: TicketChains;
  renewals: GroupSignal;
  /** Of what recipients sign for. */
  receipts: RequestVerifier;
  decide: DecideAccess;
  inTransaction: <T>(action: (registry: Registry) => Promise<T>) => Promise<T>;
}
