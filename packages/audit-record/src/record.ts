import { hash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { pooledRandomBytes } from "@claviger/pooled-random";

export type AuditOutcome = "allowed" | "refused" | "failed";

/** What identifies a person. It is held beside the tree, so that it can be erased. */
export interface PersonalData {
  actor: string;
  certificateSerial: string;
  /** The identity that was acted on, where there is one. */
  subject?: string;
}

/** What happened, as a service writes it down. Never a secret, never plaintext, never a hash of either. */
export interface AuditFacts {
  id: string;
  time: Date;
  /** The service that writes, such as `generator`. */
  service: string;
  /** `claviger.generator.v1.CryptographyService/Encrypt`. */
  method: string;
  permission: string;
  /** `keyring/key`, or what else the method acts on. */
  resource: string;
  outcome: AuditOutcome;
  /** The error's kind, where the outcome is not `allowed`. */
  errorKind?: string;
  traceId: string;
  /** A few further facts: versions, counts, serials. */
  details: Readonly<Record<string, string | number | boolean>>;
  personal: PersonalData;
}

/** A record as it travels and is stored. */
export interface AuditRecord {
  id: string;
  /** JSON: what is hashed into the tree. */
  leaf: string;
  /** JSON: what is held beside it. */
  personal: string;
  salt: Buffer;
}

const leafVersion = 1;
export const saltBytes = 16;
export const leafBytesMax = 16 * 1024;

export function buildAuditRecord(facts: AuditFacts): AuditRecord {
  const salt = pooledRandomBytes(saltBytes);
  const { actor, certificateSerial, subject } = facts.personal;
  // Canonical JSON, since the names stand in order: several times as fast as sorting them each time.
  const personal = JSON.stringify({ actor, certificateSerial, subject });
  const afterDetails = JSON.stringify({
    errorKind: facts.errorKind,
    id: facts.id,
    method: facts.method,
    outcome: facts.outcome,
    permission: facts.permission,
    personalHash: commitment(personal, salt),
    resource: facts.resource,
    service: facts.service,
    time: facts.time.toISOString(),
    traceId: facts.traceId,
    v: leafVersion,
  });
  const leaf = `{"details":${canonicalJson(facts.details)},${afterDetails.slice(1)}`;
  return { id: facts.id, leaf, personal, salt };
}

/** SHA-256(salt ‖ personal), base64: says nothing once the salt is erased. */
export function commitment(personal: string, salt: Uint8Array): string {
  const committed = Buffer.allocUnsafe(salt.length + Buffer.byteLength(personal));
  committed.set(salt);
  committed.write(personal, salt.length, "utf8");
  return hash("sha256", committed, "base64");
}

/** Whether `personal` and `salt` are what the leaf committed to. */
export function opensLeaf(leaf: string, personal: string, salt: Uint8Array): boolean {
  const { personalHash } = JSON.parse(leaf) as { personalHash?: unknown };
  return personalHash === commitment(personal, salt);
}

/**
 * JSON with sorted keys and no white space: RFC 8785 for what our leaves hold, which is strings,
 * booleans, whole numbers, objects and arrays of these.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new DomainError("internal", "an audit record may hold whole numbers only");
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(",")}}`;
}
