import type { Client } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { Authorities } from "./authorities.ts";
import type { TokenContext } from "./enrollment.ts";
import type { Registry } from "./registry.ts";
import type { AccessClient } from "./revocation.ts";
import type { RevocationLists } from "./revocation-lists.ts";

/** What the handlers of this service share. */
export interface DistributionContext {
  open: (tx: Transaction) => Registry;
  authorities: Authorities;
  lists: RevocationLists;
  storage: AccessClient;
  keys: Client<typeof KeyGenerationService>;
  trustDomain: string;
  publicHttpAddress: string;
  serviceHosts: readonly string[];
  /** Read when a token is made: the root changes. */
  token: () => TokenContext;
  startedAt: Date;
  /** Of generations that are retiring: over so many are renewals spread. */
  oldCertificates: () => number;
}
