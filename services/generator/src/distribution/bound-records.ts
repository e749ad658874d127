import { timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import {
  type BoundRecord,
  boundRecordBytes,
  formatRecord,
  type GroupRecord,
  parseRecord,
  type RecipientRecord,
} from "@claviger/key-ticket";
import type { BindingMac } from "../material-envelope.ts";

/** Records that others keep for us, and cannot change: each is confirmed by a MAC in the HSM. */
export class BoundRecords {
  readonly #mac: BindingMac;

  constructor(mac: BindingMac) {
    this.#mac = mac;
  }

  async bind(record: RecipientRecord | GroupRecord): Promise<BoundRecord> {
    const text = formatRecord(record);
    return { record: text, mac: await this.#mac(boundRecordBytes(text)) };
  }

  /** @throws DomainError `integrity` where it is none that this installation's HSM confirmed */
  async open<K extends "recipient" | "group">(bound: BoundRecord | undefined, kind: K) {
    if (bound === undefined) throw new DomainError("invalid-argument", `the request has no ${kind}`);
    const expected = await this.#mac(boundRecordBytes(bound.record));
    if (expected.length !== bound.mac.length || !timingSafeEqual(expected, bound.mac)) {
      throw new DomainError("integrity", `the record of a ${kind} is not one that the HSM confirmed`, {
        hint: "it was changed outside Claviger: the recipient registers its key again, a group is made anew",
      });
    }
    return parseRecord(bound.record, kind);
  }
}
