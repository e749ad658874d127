import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";

/** What every statement about a key says. */
interface Common {
  v: 1;
  /** What the key is for, such as `hkdf-sha256`, or the algorithm of a delivered key. */
  algorithm: string;
  /** Base64 of HMAC-SHA-256 with the key over a constant: binds the statement to the key. */
  keyDigest: string;
  /** 16 random bytes, base64: no two statements are the same. */
  nonce: string;
  /** ISO time. */
  notBefore: string;
}

export interface SessionStatement extends Common {
  kind: "session";
  initiator: string;
  peer: string;
  notAfter: string;
}

export interface PreSharedKeyStatement extends Common {
  kind: "psk";
  name: string;
  generation: number;
  /** Exactly two, in alphabetical order. */
  parties: readonly [string, string];
}

export interface GroupKeyStatement extends Common {
  kind: "group";
  group: string;
  generation: number;
}

export interface DeliveryStatement extends Common {
  kind: "delivery";
  name: string;
  version: number;
  sender: string;
  recipients: readonly string[];
}

export type Statement = SessionStatement | PreSharedKeyStatement | GroupKeyStatement | DeliveryStatement;
export type StatementOf<K extends Statement["kind"]> = Extract<Statement, { kind: K }>;

/** The key in the HSM that signs statements, and signs nothing else. */
export const ticketKey = "system/session-tickets";
/** The one name in that key's certificate; no request gets it. */
export const ticketSignerName = "urn:claviger:tickets";

const digestText = "claviger/ticket-key/v1";
const statementCharactersMax = 64 * 1024;

export function keyDigest(key: SecretBytes): string {
  return createHmac("sha256", key.expose()).update(digestText).digest("base64");
}

/** The JWS signing input (RFC 7515 section 5.1): header and statement, joined. */
export function signingInput(statement: Statement, signerVersion: number): string {
  const header = canonicalJson({ alg: "ES256", kid: `${ticketKey}@${signerVersion}`, typ: "claviger-key" });
  return `${base64url(header)}.${base64url(canonicalJson(statement))}`;
}

/** @param signature r ‖ s, 64 bytes (RFC 7518 section 3.4) */
export function compactJws(input: string, signature: Uint8Array): string {
  return `${input}.${Buffer.from(signature).toString("base64url")}`;
}

/**
 * The statement of a compact JWS, which must be signed by `signer` and be about `key`.
 * @param signer SubjectPublicKeyInfo, DER
 * @throws DomainError `integrity`
 */
export function verifyStatement<K extends Statement["kind"]>(
  jws: string,
  { key, kind, signer }: { key: SecretBytes; kind: K; signer: Uint8Array },
): StatementOf<K> {
  const [header = "", payload = "", signature = "", ...rest] =
    jws.length > statementCharactersMax ? [] : jws.split(".");
  const publicKey = createPublicKey({ key: Buffer.from(signer), format: "der", type: "spki" });
  const signed =
    rest.length === 0 &&
    readJson(header)?.alg === "ES256" &&
    verify(
      "sha256",
      Buffer.from(`${header}.${payload}`, "ascii"),
      { key: publicKey, dsaEncoding: "ieee-p1363" },
      Buffer.from(signature, "base64url"),
    );
  if (!signed) throw damaged("its statement is not signed by Claviger's generator");
  const statement = readJson(payload) as unknown as Statement | undefined;
  if (statement?.v !== 1 || statement.kind !== kind)
    throw damaged(`it is not of version 1 or not a ${kind} key`);
  const [stated, computed] = [statement.keyDigest, keyDigest(key)].map((text) => Buffer.from(text, "base64"));
  if (stated!.length !== computed!.length || !timingSafeEqual(stated!, computed!)) {
    throw damaged("its statement is about another key");
  }
  return statement as StatementOf<K>;
}

export function damaged(why: string, cause?: unknown): DomainError {
  return new DomainError("integrity", `the ticket is refused: ${why}`, {
    hint: "it was sealed to somebody else, or was changed on its way: ask for a new one",
    cause,
  });
}

function readJson(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function base64url(text: string): string {
  return Buffer.from(text, "utf8").toString("base64url");
}
