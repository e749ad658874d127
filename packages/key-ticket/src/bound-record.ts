import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";

/** A record that the generator made and confirms with a MAC in the HSM, for whoever keeps it to bring back. */
export interface BoundRecord {
  /** Canonical JSON. */
  record: string;
  mac: Uint8Array;
}

/** A recipient's key, found to be its own. */
export interface RecipientRecord {
  v: 1;
  kind: "recipient";
  identity: string;
  /** X25519, base64. */
  publicKey: string;
  registeredAt: string;
  notAfter: string;
}

/** A generation of a group's key: whoever is in the tree under `root` may have it. */
export interface GroupRecord {
  v: 1;
  kind: "group";
  group: string;
  /** Given to the group when it is made: a later one of the same name is another. */
  id: string;
  generation: number;
  /** Of the members' tree, base64. */
  root: string;
  nonce: string;
  madeAt: string;
}

type AnyRecord = RecipientRecord | GroupRecord;
const recordCharactersMax = 4096;

export function formatRecord(record: AnyRecord): string {
  return canonicalJson(record);
}

/** What the MAC is over: unlike anything else that the binding key confirms. */
export function boundRecordBytes(record: string): Buffer {
  return Buffer.from(`claviger/bound-record/v1\0${record}`, "utf8");
}

/** What a group's key is derived from, with `system/session-groups` (SP 800-108r1, one block of HMAC). */
export function groupKeyInput(record: string): Buffer {
  return Buffer.from(`claviger/group-key/v1\0${record}`, "utf8");
}

/** Whoever calls has checked the MAC. @throws DomainError `integrity` where it is a record of another kind */
export function parseRecord<K extends AnyRecord["kind"]>(
  text: string,
  kind: K,
): Extract<AnyRecord, { kind: K }> {
  const parsed = text.length > recordCharactersMax ? {} : (JSON.parse(text) as Partial<AnyRecord>);
  if (parsed.v === 1 && parsed.kind === kind) return parsed as Extract<AnyRecord, { kind: K }>;
  throw new DomainError("integrity", `this is not the record of a ${kind}`);
}
