import type { KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { requestCollection } from "./collection.ts";

/** A KeyObject that can be let go of: its bytes lie outside the V8 heap and are cleared when it is collected. */
export class KeyHolder {
  #key: KeyObject | undefined;

  constructor(key: KeyObject) {
    this.#key = key;
  }

  get present(): KeyObject {
    if (this.#key === undefined) {
      throw new DomainError("internal", "a key was used after it had been destroyed");
    }
    return this.#key;
  }

  drop(): void {
    this.#key = undefined;
    requestCollection();
  }
}
