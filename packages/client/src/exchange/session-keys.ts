import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import { damaged, type SessionStatement, splitPayload } from "@claviger/key-ticket";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { createRecipient } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { CallOptions } from "../call.ts";
import type { Claviger } from "../claviger.ts";
import { ownUri, signed } from "./own-identity.ts";
import { loadRecipientKeys } from "./recipient-keys.ts";
import { openReplayDirectory, type ReplayCache } from "./replays.ts";
import { formatTicket, openSealed, parseTicket, trustedSigner, verifiedOrCleared } from "./tickets.ts";

/** A key for two, as one of them has it. Dispose of it, best with `using`. */
export interface SessionKey extends Disposable {
  key: SecretBytes;
  initiator: string;
  peer: string;
  notBefore: Date;
  notAfter: Date;
  /** What the generator signed about it: names, times and nonce, the same on both sides. */
  statement: string;
}

const { issueSessionKey } = KeyDistributionService.method;
const sessionMethod = `${KeyDistributionService.typeName}/${issueSessionKey.name}`;
/** How far the clocks of the distribution service and of this machine may lie apart. */
const clockToleranceMilliseconds = 60_000;
const usedTickets = "used-tickets";

/**
 * A key for this identity and a peer, from the key distribution centre, and the ticket with which the peer opens it.
 * @param peer a SPIFFE URI
 * @throws DomainError `denied` where no rule lets the two talk
 */
export async function requestSessionKey(
  claviger: Claviger,
  { lifetimeSeconds = 0, peer }: { peer: string; lifetimeSeconds?: number },
  options?: CallOptions,
): Promise<SessionKey & { ticket: string }> {
  const recipient = await createRecipient();
  const recipientKey = Buffer.from(recipient.publicKey).toString("base64");
  const answer = await claviger.sessions.openSession(
    { signed: signed(claviger, "open-session", { peer, recipientKey, lifetimeSeconds }) },
    options,
  );
  const { certificateChain, sealedKey, ticket } = answer;
  if (sealedKey === undefined) throw new DomainError("integrity", "an answer came without its secret");
  const payload = await recipient.open(sealedKey, { method: sessionMethod, name: peer, version: 1 });
  const { jws, key } = splitPayload(payload);
  const signer = trustedSigner(certificateChain, claviger.identity.trustBundle, new Date());
  const statement = verifiedOrCleared(jws, key, "session", signer);
  const session = asSessionKey(statement, key, jws);
  if (statement.initiator !== ownUri(claviger) || statement.peer !== peer) {
    session[Symbol.dispose]();
    throw damaged("the key is for other identities than those who asked for it");
  }
  return { ...session, ticket: formatTicket({ ticket, certificateChain }) };
}

/**
 * The key of a ticket that was sealed to this identity. Needs no connection.
 * @param replays which tickets were used; by default those that this identity's directory remembers
 * @throws DomainError `integrity` where the ticket is for somebody else or was changed, `failed-precondition`
 * where it is not for now, or was used already
 */
export async function acceptTicket(
  claviger: Pick<Claviger, "identity" | "trustDomain">,
  text: string,
  replays: ReplayCache = openReplayDirectory(join(claviger.identity.directory, usedTickets)),
  now = new Date(),
): Promise<SessionKey> {
  const { directory, trustBundle } = claviger.identity;
  const opener = { keys: loadRecipientKeys(directory), trustBundle, now };
  const { jws, key, statement } = await openSealed(opener, parseTicket(text), "session");
  const session = asSessionKey(statement, key, jws);
  try {
    requireForUs(statement, ownUri(claviger));
    requireNow(session, now);
    if (!replays.take(statement.nonce, session.notAfter)) {
      throw new DomainError("failed-precondition", "this ticket was used already", {
        hint: "each session has a ticket of its own: its initiator opens another",
      });
    }
    return session;
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
}

function requireForUs({ initiator, peer }: SessionStatement, self: string): void {
  if (initiator === self) throw damaged("it was made by this identity for another, and came back");
  if (peer !== self) throw damaged(`it is for ${peer}`);
}

function requireNow({ notAfter, notBefore }: SessionKey, now: Date): void {
  const hint = "its initiator opens another: claviger sessions open PEER";
  if (now.getTime() >= notAfter.getTime()) {
    throw new DomainError("failed-precondition", `this ticket ended on ${notAfter.toISOString()}`, { hint });
  }
  if (now.getTime() + clockToleranceMilliseconds < notBefore.getTime()) {
    throw new DomainError("failed-precondition", `this ticket begins on ${notBefore.toISOString()}`, {
      hint: "check this machine's clock",
    });
  }
}

function asSessionKey(statement: SessionStatement, key: SecretBytes, jws: string): SessionKey {
  return {
    key,
    initiator: statement.initiator,
    peer: statement.peer,
    notBefore: new Date(statement.notBefore),
    notAfter: new Date(statement.notAfter),
    statement: jws,
    [Symbol.dispose]: () => key[Symbol.dispose](),
  };
}
