import { DomainError } from "@claviger/domain-error";
import { joinPayload, keyDigest, type RecipientRecord, sealTicket } from "@claviger/key-ticket";
import {
  type IssuePreSharedKeyRequest,
  type IssueSessionKeyRequest,
  KeyDistributionService,
} from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { type SealedSecret, sealSecret } from "@claviger/sealed-secret";
import {
  bytesField,
  listField,
  numberField,
  textField,
  type VerifiedRequest,
} from "@claviger/signed-request";
import type { MixedRandom } from "../key-material.ts";
import type { RequestDesk } from "./requests.ts";
import type { TicketSigner } from "./ticket-signer.ts";

export interface SharedKeysOptions {
  desk: RequestDesk;
  signer: TicketSigner;
  random: MixedRandom;
  now: () => Date;
}

const keyBytes = 32;
const nonceBytes = 16;
export const lifetimeSeconds = { min: 10, max: 3600, default: 600 } as const;
const sessionMethod = `${KeyDistributionService.typeName}/${KeyDistributionService.method.issueSessionKey.name}`;

/** Fresh keys for two. Nothing of a key is kept here: it leaves sealed, and is gone. */
export class SharedKeys {
  readonly #options: SharedKeysOptions;

  constructor(options: SharedKeysOptions) {
    this.#options = options;
  }

  async session(request: IssueSessionKeyRequest): Promise<{
    initiator: string;
    peer: string;
    sealedKey: SealedSecret;
    ticket: string;
    signerVersion: number;
  }> {
    const { desk, now, random, signer } = this.#options;
    const asked = await desk.open(request.signed, "open-session");
    const peer = await desk.recipient(request.peer);
    const { fresh, seconds } = sessionWish(asked, peer);
    using key = await random(keyBytes);
    const notBefore = now();
    const { jws, signerVersion } = await signer.sign({
      v: 1,
      kind: "session",
      algorithm: "hkdf-sha256",
      initiator: asked.identity.uri,
      peer: peer.identity,
      keyDigest: keyDigest(key),
      nonce: await this.#nonce(),
      notBefore: notBefore.toISOString(),
      notAfter: new Date(notBefore.getTime() + seconds * 1000).toISOString(),
    });
    using payload = joinPayload(jws, key);
    const bound = { method: sessionMethod, name: peer.identity, version: 1 };
    const [sealedKey, ticket] = await Promise.all([
      sealSecret(fresh, bound, payload),
      sealTicket(peer.key, jws, key),
    ]);
    return { initiator: asked.identity.uri, peer: peer.identity, sealedKey, ticket, signerVersion };
  }

  async preShared(
    request: IssuePreSharedKeyRequest,
  ): Promise<{ name: string; generation: number; tickets: string[]; signerVersion: number }> {
    const { desk, now, random, signer } = this.#options;
    const asked = await desk.open(request.signed, "create-psk");
    await desk.requireRight(asked, "exchange.manage", "*");
    const [name, generation] = [textField(asked.fields, "name"), numberField(asked.fields, "generation")];
    const parties = await this.#parties(asked, request);
    using key = await random(keyBytes);
    const { jws, signerVersion } = await signer.sign({
      v: 1,
      kind: "psk",
      algorithm: "psk-256",
      name,
      generation,
      parties: [parties[0].identity, parties[1].identity],
      keyDigest: keyDigest(key),
      nonce: await this.#nonce(),
      notBefore: now().toISOString(),
    });
    const tickets = [];
    for (const party of parties) tickets.push(await sealTicket(party.key, jws, key));
    return { name, generation, tickets, signerVersion };
  }

  async #parties(asked: VerifiedRequest, { recipients }: IssuePreSharedKeyRequest) {
    const [a, b, ...others] = listField(asked.fields, "parties");
    if (a === undefined || b === undefined || others.length > 0 || a >= b || recipients.length !== 2) {
      throw new DomainError(
        "invalid-argument",
        "a pre-shared key is for exactly two parties, in alphabetical order",
      );
    }
    const found = [
      await this.#options.desk.recipient(recipients[0]),
      await this.#options.desk.recipient(recipients[1]),
    ] as const;
    if (found[0].identity !== a || found[1].identity !== b) {
      throw new DomainError("denied", "the recipients are not the parties that the request names");
    }
    return found;
  }

  async #nonce(): Promise<string> {
    using nonce = await this.#options.random(nonceBytes);
    return Buffer.from(nonce.expose()).toString("base64");
  }
}

function sessionWish(
  { fields, identity }: VerifiedRequest,
  peer: RecipientRecord,
): { fresh: Buffer; seconds: number } {
  if (textField(fields, "peer") !== peer.identity) {
    throw new DomainError("denied", "the recipient is not the peer that the request names");
  }
  if (identity.uri === peer.identity) {
    throw new DomainError("invalid-argument", "a session is between two identities, and these are one");
  }
  const seconds = numberField(fields, "lifetimeSeconds") || lifetimeSeconds.default;
  if (seconds < lifetimeSeconds.min || seconds > lifetimeSeconds.max) {
    throw new DomainError(
      "invalid-argument",
      `a session key lives ${lifetimeSeconds.min} to ${lifetimeSeconds.max} seconds`,
      { hint: "open a new session before the old one ends" },
    );
  }
  return { fresh: bytesField(fields, "recipientKey", keyBytes), seconds };
}
