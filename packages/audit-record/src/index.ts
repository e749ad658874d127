import {
  createHash,
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { DomainError } from "@claviger/domain-error";

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
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const saltBytes = 16;
export const leafBytesMax = 16 * 1024;

export function buildAuditRecord(facts: AuditFacts): AuditRecord {
  const salt = randomBytes(saltBytes);
  const personal = canonicalJson({ ...facts.personal });
  const leaf = canonicalJson({
    v: leafVersion,
    id: facts.id,
    time: facts.time.toISOString(),
    service: facts.service,
    method: facts.method,
    permission: facts.permission,
    resource: facts.resource,
    outcome: facts.outcome,
    ...(facts.errorKind === undefined ? {} : { errorKind: facts.errorKind }),
    traceId: facts.traceId,
    details: facts.details,
    personalHash: commitment(personal, salt),
  });
  return { id: facts.id, leaf, personal, salt };
}

/** SHA-256(salt ‖ personal), base64: says nothing once the salt is erased. */
export function commitment(personal: string, salt: Uint8Array): string {
  return createHash("sha256").update(salt).update(personal, "utf8").digest("base64");
}

/** Whether `personal` and `salt` are what the leaf committed to. */
export function opensLeaf(leaf: string, personal: string, salt: Uint8Array): boolean {
  const { personalHash } = JSON.parse(leaf) as { personalHash?: unknown };
  return personalHash === commitment(personal, salt);
}

/**
 * JSON with sorted keys and no white space: RFC 8785 for what our leaves hold, which is strings,
 * booleans, whole numbers and objects of these.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new DomainError("internal", "an audit record may hold whole numbers only");
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(",")}}`;
}

// ——— over the bus ———

const recordDomain = "claviger/audit-record/v1";
const confirmDomain = "claviger/audit-confirm/v1";

/** A record with its authenticator: whoever can write to the bus cannot make one. */
export function sealForBus(record: AuditRecord, service: string, key: Uint8Array): Buffer {
  const body = JSON.stringify({
    leaf: record.leaf,
    personal: record.personal,
    salt: record.salt.toString("base64"),
  });
  return prependMac(recordDomain, service, body, key);
}

/** @throws DomainError `integrity` where the authenticator does not fit or the record is malformed. */
export function openFromBus(message: Uint8Array, service: string, key: Uint8Array): AuditRecord {
  const body = checkMac(recordDomain, service, message, key);
  const parsed = JSON.parse(body) as { leaf: string; personal: string; salt: string };
  const { id, service: writer, time } = JSON.parse(parsed.leaf) as Record<"id" | "service" | "time", string>;
  const salt = Buffer.from(parsed.salt, "base64");
  const wellFormed = uuidPattern.test(id) && !Number.isNaN(Date.parse(time));
  if (
    !wellFormed ||
    writer !== service ||
    parsed.leaf.length > leafBytesMax ||
    !opensLeaf(parsed.leaf, parsed.personal, salt)
  ) {
    throw new DomainError("integrity", "an audit record does not agree with itself");
  }
  return { id, leaf: parsed.leaf, personal: parsed.personal, salt };
}

/** The audit service's word that these records are in the log, so that the writer may forget them. */
export function sealConfirmation(ids: readonly string[], service: string, key: Uint8Array): Buffer {
  return prependMac(confirmDomain, service, JSON.stringify(ids), key);
}

export function openConfirmation(message: Uint8Array, service: string, key: Uint8Array): string[] {
  return JSON.parse(checkMac(confirmDomain, service, message, key)) as string[];
}

/** OpenSSL's own form of a key, made once: making it for each record costs more than the HMAC. */
const keyObjects = new WeakMap<Uint8Array, KeyObject>();

function keyObjectOf(key: Uint8Array): KeyObject {
  const known = keyObjects.get(key);
  if (known !== undefined) return known;
  const made = createSecretKey(key);
  keyObjects.set(key, made);
  return made;
}

function mac(domain: string, service: string, body: string, key: Uint8Array): Buffer {
  return createHmac("sha256", keyObjectOf(key))
    .update(`${domain}\0${service}\0`)
    .update(body, "utf8")
    .digest();
}

function prependMac(domain: string, service: string, body: string, key: Uint8Array): Buffer {
  return Buffer.concat([mac(domain, service, body, key), Buffer.from(body, "utf8")]);
}

function checkMac(domain: string, service: string, message: Uint8Array, key: Uint8Array): string {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const body = bytes.subarray(32).toString("utf8");
  if (bytes.length < 32 || !timingSafeEqual(bytes.subarray(0, 32), mac(domain, service, body, key))) {
    throw new DomainError(
      "integrity",
      `a message that claims to be of ${service} does not carry its authenticator`,
    );
  }
  return body;
}
