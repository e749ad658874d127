import { DomainError } from "@claviger/domain-error";
import { compactJws, type Statement, signingInput, ticketKey } from "@claviger/key-ticket";
import { ecdsaDerToRaw } from "@claviger/x509";
import type { KeyStore } from "../key-store.ts";
import type { UsableKey } from "../usable-key.ts";

/** Signs what is said about a distributed key, in the HSM, with a key that is there for nothing else. */
export class TicketSigner {
  readonly #keyStore: KeyStore;

  constructor(keyStore: KeyStore) {
    this.#keyStore = keyStore;
  }

  /** @throws DomainError `unavailable` where the key is not there yet */
  async sign(statement: Statement): Promise<{ jws: string; signerVersion: number }> {
    const key = await requireSystemKey(this.#keyStore, ticketKey, "sign");
    const signerVersion = key.facts.version;
    const input = signingInput(statement, signerVersion);
    const signature = await key.use((mechanism) => mechanism.sign!(Buffer.from(input, "ascii")));
    return { jws: compactJws(input, ecdsaDerToRaw(signature)), signerVersion };
  }
}

export function requireSystemKey(
  keyStore: KeyStore,
  name: string,
  operation: "sign" | "mac",
): Promise<UsableKey> {
  return keyStore.require(name, 0, operation).catch((cause: unknown) => {
    throw new DomainError("unavailable", `${name} cannot be used now`, {
      hint: "it is made when an installation first starts: try again shortly, and look at `claviger status`",
      cause,
    });
  });
}
