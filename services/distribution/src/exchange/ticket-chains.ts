import type { Client } from "@claviger/client";
import { ticketKey, ticketSignerName } from "@claviger/key-ticket";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { systemKeyChain } from "../attestation.ts";
import type { Authority } from "../authorities.ts";
import type { Registry } from "../registry.ts";

export interface TicketChainsOptions {
  keys: Client<typeof KeyGenerationService>;
  issuing: () => Authority;
  publicHttpAddress: string;
  trustDomain: string;
}

const keptMilliseconds = 60_000;

/** The certificate of the key that signs what is said about distributed keys, with which tickets are verified offline. */
export class TicketChains {
  readonly #options: TicketChainsOptions;
  readonly #known = new Map<string, { chain: string; until: number }>();

  constructor(options: TicketChainsOptions) {
    this.#options = options;
  }

  async chainOf(registry: Registry, version: number, requestedBy: string): Promise<string> {
    // Of the CAs' generation too: after their rotation the key is certified anew.
    const name = `${version} of ${this.#options.issuing().row.generation}`;
    const known = this.#known.get(name);
    if (known !== undefined && known.until > performance.now()) return known.chain;
    const { issuing, ...options } = this.#options;
    const chain = await systemKeyChain(
      registry,
      { ...options, issuing: issuing(), requestedBy },
      {
        keyName: ticketKey,
        profile: "tickets",
        commonName: "Claviger key distribution",
        name: ticketSignerName,
      },
      version,
    );
    registry.tx.afterCommit(() =>
      this.#known.set(name, { chain, until: performance.now() + keptMilliseconds }),
    );
    return chain;
  }
}
