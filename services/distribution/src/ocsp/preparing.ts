import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { assembleOcspResponse, encodeOcspCertificateId } from "@claviger/x509";
import type { Authorities, Authority } from "../authorities.ts";
import type { Registry } from "../registry.ts";
import { type CertificateRow, listLive } from "../store/certificates.ts";
import type { AnswerCache } from "./answer-cache.ts";
import { answerOf, answerTimes, keyOf, responseData } from "./ocsp-service.ts";
import type { Responder, Responders } from "./responders.ts";
import { statusOfRow } from "./status.ts";

/** A page is signed with one call. */
const pageSize = 200;
/** Of the newest pages that come round; what is beyond is signed when somebody asks. */
const preparedMax = 50_000;
/** An answer with less than this left is followed by another. */
const freshMilliseconds = 12 * 3_600_000;

export interface PreparingOptions {
  authorities: Authorities;
  responders: Responders;
  cache: AnswerCache;
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  cryptography: Client<typeof CryptographyService>;
}

/**
 * Signs answers about every live certificate before anybody asks, and again in the second half of their
 * lives, many in one call: so they are there while the database or the generator is away.
 */
export class OcspPreparing {
  readonly #options: PreparingOptions;
  #after = "";
  #looked = 0;

  constructor(options: PreparingOptions) {
    this.#options = options;
  }

  /** One page; resolves to whether another follows in this round. */
  async page(): Promise<boolean> {
    const { inTransaction } = this.#options;
    const confirmedAt = performance.now();
    const rows = await inTransaction(({ now, sealer, tx }) =>
      listLive(tx, sealer, { after: this.#after, limit: pageSize, now }),
    );
    const byAuthority = Map.groupBy(rows, (row) => `${row.authority} ${row.authorityGeneration}`);
    for (const group of byAuthority.values()) await this.#prepareAll(group, confirmedAt);
    this.#looked += rows.length;
    const isLast = rows.length < pageSize || this.#looked >= preparedMax;
    this.#after = isLast ? "" : (rows.at(-1)?.serial ?? "");
    if (isLast) this.#looked = 0;
    return !isLast;
  }

  async #prepareAll(rows: readonly CertificateRow[], confirmedAt: number): Promise<void> {
    const { authorities, cache } = this.#options;
    const [first] = rows;
    const issuer = first && authorities.find(first.authority, first.authorityGeneration);
    if (issuer === undefined || issuer.state === "retired") return;
    const wanted = rows
      .map((row) => ({ row, certificateId: certificateIdOf(issuer, row) }))
      .filter(({ certificateId }) => {
        const kept = cache.get(keyOf({ encoded: certificateId }));
        return kept === undefined || kept.nextUpdate - Date.now() < freshMilliseconds;
      });
    if (wanted.length === 0) return;
    const responder = await this.#options.responders.of(issuer);
    const times = answerTimes(responder);
    const data = wanted.map(({ certificateId, row }) =>
      responseData(responder, [{ certificateId, status: statusOfRow(row) }], times),
    );
    const signatures = await this.#sign(responder, data);
    for (const [index, { certificateId, row }] of wanted.entries()) {
      const body = assembleOcspResponse(
        data[index]!,
        responder.signer,
        signatures[index]!,
        responder.certificate,
      );
      const facts = { status: statusOfRow(row), serial: row.serial, confirmedAt, ...times };
      cache.set(keyOf({ encoded: certificateId }), answerOf(body, facts));
    }
  }

  async #sign(responder: Responder, messages: Uint8Array[]): Promise<Uint8Array[]> {
    const { results } = await this.#options.cryptography.signBatch({
      name: responder.keyName,
      version: responder.keyVersion,
      messages,
    });
    return messages.map((_, index) => {
      const result = results[index];
      if (result === undefined || result.error !== undefined) {
        throw new DomainError("unavailable", "the generator did not sign all of the OCSP answers");
      }
      return result.signature;
    });
  }
}

/** As `openssl ocsp` and nearly every client asks: with SHA-1, which identifies here and protects nothing. */
function certificateIdOf(issuer: Authority, { serial }: CertificateRow): Uint8Array {
  const { subject, signer } = issuer;
  const { subjectPublicKeyInfo } = signer;
  return encodeOcspCertificateId("sha1", { subject, subjectPublicKeyInfo }, Buffer.from(serial, "hex"));
}
