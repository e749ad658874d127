import { createPrivateKey, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import { type Identity, parseIdentity } from "@claviger/identity";
import { readCertificate, splitChain, verifyChain } from "@claviger/x509";

/** A request as it travels: exactly the text that was signed, and who signed it. */
export interface SignedRequest {
  /** Canonical JSON. */
  statement: string;
  signature: Uint8Array;
  /** PEM, leaf first. */
  certificateChain: string;
}

/** Text, whole numbers, and lists of text: what a statement may hold. */
export type StatementField = string | number | readonly string[];
export type StatementFields = Readonly<Record<string, StatementField>>;

export interface VerifiedRequest {
  identity: Identity;
  /** Lower-case hexadecimal. */
  certificateSerial: string;
  fields: StatementFields;
}

export const statementBytesMax = 64 * 1024;
const chainBytesMax = 16 * 1024;
const signersMax = 2000;
/** How far a request's time may lie from ours: a request is for now. */
const clockToleranceMilliseconds = 2 * 60_000;
const domain = "claviger/signed-request/v1\0";

export function signedBytes(statement: string): Buffer {
  return Buffer.from(`${domain}${statement}`, "utf8");
}

/** Says what `by` wants done, in a form that whoever passes it on cannot change. */
export function signRequest(
  signer: { key: string; certificateChain: string },
  { by, does, fields, now = new Date() }: { by: string; does: string; fields: StatementFields; now?: Date },
): SignedRequest {
  const nonce = randomBytes(16).toString("base64");
  const statement = canonicalJson({ ...fields, v: 1, by, does, at: now.toISOString(), nonce });
  const key = createPrivateKey(signer.key);
  return {
    statement,
    signature: sign(digestFor(key), signedBytes(statement), key),
    certificateChain: signer.certificateChain,
  };
}

/**
 * What a statement says, before anybody has looked at the signature: for whoever knows the caller by its
 * connection and passes the request on.
 * @throws DomainError `invalid-argument` where it is no statement, or one for something else
 */
export function readStatement(statement: string, does: string): { by: string; fields: StatementFields } {
  const fields = parseStatement(statement);
  if (fields.does !== does) {
    throw new DomainError("invalid-argument", `the signed request does not ask to ${does}`);
  }
  return { by: textField(fields, "by"), fields };
}

/** @throws DomainError `invalid-argument` where the field is not text */
export function textField(fields: StatementFields, name: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  throw new DomainError("invalid-argument", `the signed request has no text ${name}`);
}

/** @throws DomainError `invalid-argument` where the field is not a whole number from 0 on */
export function numberField(fields: StatementFields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && value >= 0) return value;
  throw new DomainError("invalid-argument", `the signed request has no number ${name}`);
}

/** @throws DomainError `invalid-argument` where the field is not a list of text */
export function listField(fields: StatementFields, name: string): readonly string[] {
  const value = fields[name];
  if (Array.isArray(value)) return value as readonly string[];
  throw new DomainError("invalid-argument", `the signed request has no list ${name}`);
}

/** A field of bytes, in base64. @throws DomainError `invalid-argument` where it has not that length */
export function bytesField(fields: StatementFields, name: string, length: number): Buffer {
  const text = textField(fields, name);
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === length && bytes.toString("base64") === text) return bytes;
  throw new DomainError("invalid-argument", `${name} in the signed request is not ${length} bytes in base64`);
}

interface Signer {
  identity: Identity;
  certificateSerial: string;
  key: KeyObject;
  notBefore: number;
  notAfter: number;
}

/** Verifies signed requests. Whose certificate was seen before is not verified anew while the bundle stays. */
export class RequestVerifier {
  readonly #trust: { trustDomain: string; trustBundle: () => string };
  #signers = new Map<string, Signer>();
  #bundle = "";

  constructor(trust: { trustDomain: string; trustBundle: () => string }) {
    this.#trust = trust;
  }

  /**
   * @param does what the request must ask for
   * @param at the moment at which certificate and request must hold; `fresh` where the request must be of now
   * @throws DomainError `unauthenticated` where certificate or signature fail, `invalid-argument` where it is old
   */
  verify(request: SignedRequest, does: string, at: Date, age: "fresh" | "kept" = "fresh"): VerifiedRequest {
    const { by, fields } = readStatement(request.statement, does);
    const { certificateSerial, identity, key, notAfter, notBefore } = this.#signer(
      request.certificateChain,
      at,
    );
    const moment = at.getTime();
    if (moment < notBefore || moment >= notAfter + 1000) throw notSigned("the certificate is not valid now");
    if (identity.uri !== by) throw notSigned("its maker is not who the certificate names");
    if (!verify(digestFor(key), signedBytes(request.statement), key, request.signature)) {
      throw notSigned("the signature is not over this request");
    }
    const madeAt = Date.parse(textField(fields, "at"));
    if (age === "fresh" && !(Math.abs(madeAt - moment) <= clockToleranceMilliseconds)) {
      throw new DomainError("failed-precondition", "the signed request is not of the last two minutes", {
        hint: "make it anew, and check this machine's clock",
      });
    }
    return { identity, certificateSerial, fields };
  }

  #signer(chain: string, at: Date): Signer {
    const bundle = this.#trust.trustBundle();
    if (bundle !== this.#bundle) this.#signers.clear();
    this.#bundle = bundle;
    const known = this.#signers.get(chain);
    if (known !== undefined) return known;
    const signer = readSigner(chain, bundle, this.#trust.trustDomain, at);
    if (this.#signers.size >= signersMax) this.#signers.clear();
    this.#signers.set(chain, signer);
    return signer;
  }
}

function readSigner(chain: string, bundle: string, trustDomain: string, at: Date): Signer {
  if (chain.length > chainBytesMax) throw notSigned("its certificate chain is too large");
  const [leaf, ...intermediates] = splitChain(chain).map((der) => readCertificate(der));
  const roots = splitChain(bundle).map((der) => readCertificate(der));
  const verdict = verifyChain({ leaf: leaf!, intermediates, roots, at });
  if (!verdict.trusted) throw notSigned(verdict.reasons[0] ?? "its certificate is not trusted here");
  const [uri] = leaf!.uris;
  if (uri === undefined || leaf!.uris.length !== 1) throw notSigned("its certificate names no one identity");
  const identity = parseIdentity(uri);
  if (identity.trustDomain !== trustDomain) throw notSigned("its certificate is of another trust domain");
  const serial = leaf!.x509.serialNumber.toLowerCase();
  // The chain's end is the earliest of its certificates'.
  const notAfter = Math.min(...verdict.chain.map((certificate) => certificate.notAfter.getTime()));
  const notBefore = Math.max(...verdict.chain.map((certificate) => certificate.notBefore.getTime()));
  return { identity, certificateSerial: serial, key: leaf!.x509.publicKey, notBefore, notAfter };
}

function notSigned(why: string): DomainError {
  return new DomainError("unauthenticated", `the signed request is not valid: ${why}`, {
    hint: "sign it with the key of this identity's current certificate",
  });
}

function parseStatement(statement: string): StatementFields {
  const refuse = (why: string, cause?: unknown): never => {
    throw new DomainError("invalid-argument", `the signed request ${why}`, { cause });
  };
  if (statement.length > statementBytesMax) return refuse("is too large");
  let parsed: unknown;
  try {
    parsed = JSON.parse(statement);
  } catch (cause) {
    return refuse("is not JSON", cause);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    return refuse("is not an object");
  const fields = parsed as Record<string, unknown>;
  if (fields.v !== 1) return refuse("is not of version 1");
  if (!Object.values(fields).every(isField)) return refuse("holds what no statement holds");
  // One text for one meaning: nobody reads a repeated name differently.
  if (canonicalJson(fields) !== statement) return refuse("is not in canonical form");
  return fields as StatementFields;
}

function isField(value: unknown): value is StatementField {
  if (Array.isArray(value)) return value.every((item) => typeof item === "string");
  return typeof value === "string" || Number.isSafeInteger(value);
}

function digestFor(key: KeyObject): "sha256" | null {
  return key.asymmetricKeyType === "ed25519" ? null : "sha256";
}
