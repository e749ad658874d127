import { createHash } from "node:crypto";
import {
  assembleOcspResponse,
  encodeOcspResponseData,
  type OcspCertificateId,
  type OcspEntry,
  type OcspHash,
  type OcspRefusal,
  type OcspRequest,
  ocspRefusal,
  publicKeyBits,
  readOcspRequest,
} from "@claviger/x509";
import type { Authorities, Authority } from "../authorities.ts";
import type { Registry } from "../registry.ts";
import { type Answer, AnswerCache } from "./answer-cache.ts";
import type { Responder, Responders } from "./responders.ts";
import { SigningBudget } from "./signing-budget.ts";
import { sameStatus, statusOfSerial } from "./status.ts";

const answersMax = 100_000;
const lifetimeMilliseconds = 24 * 3_600_000;
const backdateMilliseconds = 60_000;
/** How long an answer is given without a look at the database; a revocation here, or one heard of, ends it at once. */
const leaseMilliseconds = 10_000;
const freshSignatures = { perSecond: 100, burst: 200, atOnceMax: 16 };

export interface OcspServiceOptions {
  authorities: Authorities;
  responders: Responders;
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  onTrouble: (what: string) => void;
}

/** An answer and until when it may be kept, where that is no error. */
export interface OcspReply {
  body: Uint8Array;
  answer?: Answer;
}

/**
 * Answers OCSP requests (RFC 6960). About one certificate and without a nonce: from memory, also while the
 * database or the generator is away, until the answer's own end. With a nonce (RFC 8954) or about several:
 * signed freshly, within a budget.
 */
export class OcspService {
  readonly #options: OcspServiceOptions;
  readonly cache = new AnswerCache(answersMax);
  readonly #budget = new SigningBudget(freshSignatures);
  #issuers = new Map<string, Authority>();
  #issuersOf: unknown;

  constructor(options: OcspServiceOptions) {
    this.#options = options;
  }

  async reply(der: Uint8Array): Promise<OcspReply> {
    let request: OcspRequest;
    try {
      request = readOcspRequest(der);
    } catch {
      return refuse("malformedRequest");
    }
    const [first] = request.certificates;
    const issuer = first && this.#issuerOf(first);
    // One responder signs for one CA; and RFC 6960 section 2.3: not capable of answering authoritatively.
    if (issuer === undefined || request.certificates.some((id) => this.#issuerOf(id) !== issuer)) {
      return refuse("unauthorized");
    }
    try {
      return await this.#answer(request, issuer);
    } catch (error) {
      this.#options.onTrouble(`an OCSP request was not answered: ${(error as Error).message}`);
      return refuse("tryLater");
    }
  }

  async #answer(request: OcspRequest, issuer: Authority): Promise<OcspReply> {
    const [only, ...others] = request.certificates;
    if (only !== undefined && others.length === 0 && request.nonce === undefined) {
      return this.#prepared(only, issuer);
    }
    try {
      const body = await this.#budget.spend(() => this.#signFreshly(request, issuer));
      if (body !== undefined) return { body };
    } catch (error) {
      this.#options.onTrouble(`an OCSP answer was not signed: ${(error as Error).message}`);
    }
    // RFC 6960 section 4.4.1 leaves the nonce to the responder: a prepared answer is better than none.
    const kept = only !== undefined && others.length === 0 ? this.cache.get(keyOf(only)) : undefined;
    return kept === undefined ? refuse("tryLater") : { body: kept.body, answer: kept };
  }

  async #prepared(id: OcspCertificateId, issuer: Authority): Promise<OcspReply> {
    const key = keyOf(id);
    const kept = this.cache.get(key);
    if (kept !== undefined && performance.now() - kept.confirmedAt < leaseMilliseconds) {
      return { body: kept.body, answer: kept };
    }
    if (kept !== undefined && (await this.#stillTrue(kept, issuer))) return { body: kept.body, answer: kept };
    const signed = await this.#budget.spend(() => this.#prepare(id, issuer));
    if (signed === undefined) return refuse("tryLater");
    // About what nobody issued nothing is kept: anybody can think of serials.
    if (signed.status.status !== "unknown") this.cache.set(key, signed);
    return { body: signed.body, answer: signed };
  }

  /** While the database is away, what was true is given until the answer's end. */
  async #stillTrue(kept: Answer, issuer: Authority): Promise<boolean> {
    const askedAt = performance.now();
    try {
      const status = await this.#statusOf(issuer, kept.serial);
      if (!sameStatus(status, kept.status)) return false;
      kept.confirmedAt = askedAt;
      // In the second half of its life another takes its place.
      return kept.nextUpdate - Date.now() > lifetimeMilliseconds / 2;
    } catch (error) {
      this.#options.onTrouble(`OCSP answers come from memory: ${(error as Error).message}`);
      // Asked again a second from now, not by each request.
      kept.confirmedAt = askedAt - leaseMilliseconds + 1000;
      return true;
    }
  }

  async #prepare(id: OcspCertificateId, issuer: Authority): Promise<Answer> {
    const confirmedAt = performance.now();
    const status = await this.#statusOf(issuer, id.serial);
    const responder = await this.#options.responders.of(issuer);
    const times = answerTimes(responder);
    const entry = { certificateId: id.encoded, status };
    const body = await sign(responder, [entry], times);
    return answerOf(body, { status, serial: id.serial, confirmedAt, ...times });
  }

  async #signFreshly({ certificates, nonce }: OcspRequest, issuer: Authority): Promise<Uint8Array> {
    const entries: OcspEntry[] = [];
    for (const { encoded, serial } of certificates) {
      entries.push({ certificateId: encoded, status: await this.#statusOf(issuer, serial) });
    }
    const responder = await this.#options.responders.of(issuer);
    return sign(responder, entries, answerTimes(responder), nonce);
  }

  #statusOf(issuer: Authority, serial: string) {
    const { authorities, inTransaction } = this.#options;
    return inTransaction((registry) => statusOfSerial(registry, authorities.current, issuer, serial));
  }

  #issuerOf(id: OcspCertificateId): Authority | undefined {
    const snapshot = this.#options.authorities.current;
    if (this.#issuersOf !== snapshot) {
      this.#issuers = new Map(snapshot.all.flatMap(issuerHashes));
      this.#issuersOf = snapshot;
    }
    return this.#issuers.get(issuerKey(id.hash, id.issuerNameHash, id.issuerKeyHash));
  }
}

function refuse(refusal: OcspRefusal): OcspReply {
  return { body: ocspRefusal(refusal) };
}

export function keyOf({ encoded }: { encoded: Uint8Array }): string {
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength).toString("latin1");
}

const hashes: readonly OcspHash[] = ["sha1", "sha256", "sha384", "sha512"];

function issuerHashes(authority: Authority): [string, Authority][] {
  const key = publicKeyBits(authority.signer.subjectPublicKeyInfo);
  return hashes.map((hash) => {
    const digest = (bytes: Uint8Array): Buffer => createHash(hash).update(bytes).digest();
    return [issuerKey(hash, digest(authority.subject), digest(key)), authority];
  });
}

function issuerKey(hash: OcspHash, name: Uint8Array, key: Uint8Array): string {
  return `${hash} ${Buffer.from(name).toString("hex")} ${Buffer.from(key).toString("hex")}`;
}

export interface AnswerTimes {
  producedAt: Date;
  thisUpdate: Date;
  nextUpdate: Date;
}

/** An answer never outlives the certificate that it is verified with. */
export function answerTimes(responder: Responder): AnswerTimes {
  const now = Date.now();
  const end = Math.min(now + lifetimeMilliseconds, responder.notAfter.getTime());
  return {
    producedAt: new Date(now),
    thisUpdate: new Date(now - backdateMilliseconds),
    nextUpdate: new Date(end),
  };
}

export function responseData(
  responder: Responder,
  entries: readonly OcspEntry[],
  times: AnswerTimes,
  nonce?: Uint8Array,
): Uint8Array {
  const responderPublicKeyInfo = responder.signer.subjectPublicKeyInfo;
  return encodeOcspResponseData({ entries, ...times, nonce, responderPublicKeyInfo });
}

async function sign(
  responder: Responder,
  entries: readonly OcspEntry[],
  times: AnswerTimes,
  nonce?: Uint8Array,
): Promise<Uint8Array> {
  const data = responseData(responder, entries, times, nonce);
  const signature = await responder.signer.sign(data);
  return assembleOcspResponse(data, responder.signer, signature, responder.certificate);
}

export function answerOf(
  body: Uint8Array,
  facts: Pick<Answer, "status" | "serial" | "confirmedAt"> & AnswerTimes,
): Answer {
  const { confirmedAt, nextUpdate, serial, status, thisUpdate } = facts;
  return {
    body,
    status,
    serial,
    confirmedAt,
    thisUpdate: thisUpdate.getTime(),
    nextUpdate: nextUpdate.getTime(),
    etag: `"${createHash("sha256").update(body).digest("base64url")}"`,
  };
}
