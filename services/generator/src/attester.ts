import { DomainError } from "@claviger/domain-error";
import { attestationKey, type SignedRecord } from "./generation-record.ts";
import type { KeyStore } from "./key-store.ts";

/** Signs records of how something came to be, with the key that is there for nothing else. */
export class Attester {
  readonly #keyStore: KeyStore;

  constructor(keyStore: KeyStore) {
    this.#keyStore = keyStore;
  }

  /** @throws DomainError `unavailable` where the key is not there yet */
  async sign(record: Buffer): Promise<SignedRecord> {
    const key = await this.#keyStore.require(attestationKey, 0, "sign").catch((cause: unknown) => {
      throw new DomainError("unavailable", "the key that signs generation records is not there yet", {
        hint: "it is made when an installation first starts: try again shortly",
        cause,
      });
    });
    const signature = await key.use((mechanism) => mechanism.sign!(record));
    return { record, signature, signerVersion: key.facts.version };
  }
}
