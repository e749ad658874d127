import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import type { Duplex } from "node:stream";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Claviger } from "../claviger.ts";
import { readFrame, writeFrame } from "./frames.ts";
import { createEphemeral, Handshake } from "./handshake.ts";
import { createReplayCache, type ReplayCache } from "./replays.ts";
import { acceptTicket, requestSessionKey, type SessionKey } from "./session-keys.ts";

/**
 * A session with another identity, each side sure of the other. What one seals the other opens, in the order in which
 * it was sealed; a repeated, left out or changed message is refused. Dispose of it, best with `using`.
 */
export interface Session extends Disposable {
  /** The other side's SPIFFE URI. */
  readonly peer: string;
  readonly notAfter: Date;
  /** When to open the next one: after two thirds of its life, a little earlier or later than others. */
  readonly renewAt: Date;
  /** @throws DomainError `failed-precondition` once the session has ended */
  seal(plaintext: Uint8Array): Buffer;
  /** @throws DomainError `integrity` where that is not the next message of the other side */
  open(sealed: Uint8Array): Buffer;
  /** A key for something else that both sides need, by a label of their choice. */
  deriveKey(label: string, lengthBytes?: number): SecretBytes;
}

const handshakeMilliseconds = 10_000;
const keyBytes = 32;
const tagBytes = 16;
const counterBytes = 8;
/** SP 800-38D section 8.3, for a counter as the nonce: far more than a session's lifetime sends. */
const messagesMax = 2 ** 32;
const messageType = { hello: 1, reply: 2, finish: 3 } as const;

/**
 * Opens a session with `peer` over a connection to it: gets a key from the key distribution centre, hands the peer
 * its ticket, and agrees on fresh keys that nobody learns later. Where that fails the connection is ended.
 * @throws DomainError `denied` where no rule lets the two talk, `integrity` where the other side is somebody else
 */
export async function openSession(
  claviger: Claviger,
  { lifetimeSeconds, over, peer }: { peer: string; over: Duplex; lifetimeSeconds?: number },
): Promise<Session> {
  const wanted = lifetimeSeconds === undefined ? { peer } : { peer, lifetimeSeconds };
  using issued = await requestSessionKey(claviger, wanted);
  // Awaited here: what it uses is cleared when this returns.
  return await orEnd(over, () => initiate(issued, over));
}

async function initiate(issued: SessionKey & { ticket: string }, over: Duplex): Promise<Session> {
  const own = createEphemeral();
  await writeFrame(
    over,
    Buffer.concat([Buffer.of(messageType.hello), own.publicKey, Buffer.from(issued.ticket)]),
  );
  const reply = messageOf(await readFrame(over, handshakeMilliseconds), "reply");
  if (reply.length !== 2 * keyBytes) throw notOurs();
  const peerKey = reply.subarray(0, keyBytes);
  using handshake = new Handshake(issued, own, { initiatorKey: own.publicKey, peerKey });
  handshake.requireConfirmation("peer", reply.subarray(keyBytes));
  using confirmation = handshake.confirmation("initiator");
  await writeFrame(over, Buffer.concat([Buffer.of(messageType.finish), confirmation.expose()]));
  return sessionOf(issued, handshake, "initiator");
}

/** Tickets that this process has accepted, where no other cache is given. */
const acceptedHere = createReplayCache();

/**
 * Takes a session that another identity opens over a connection. Needs nothing of Claviger's services: the ticket that
 * comes first says who it is. Where it is refused the connection is ended.
 * @param options.replays which tickets were used; by default those of this process
 * @throws DomainError `integrity` where the ticket is for somebody else or the other side does not have its key
 */
export async function acceptSession(
  claviger: Pick<Claviger, "identity" | "trustDomain">,
  { over, replays = acceptedHere }: { over: Duplex; replays?: ReplayCache },
): Promise<Session> {
  return orEnd(over, () => accept(claviger, over, replays));
}

async function accept(
  claviger: Pick<Claviger, "identity" | "trustDomain">,
  over: Duplex,
  replays: ReplayCache,
): Promise<Session> {
  const hello = messageOf(await readFrame(over, handshakeMilliseconds), "hello");
  const initiatorKey = hello.subarray(0, keyBytes);
  using accepted = await acceptTicket(claviger, hello.subarray(keyBytes).toString("utf8"), replays);
  const own = createEphemeral();
  using handshake = new Handshake(accepted, own, { initiatorKey, peerKey: own.publicKey });
  using confirmation = handshake.confirmation("peer");
  await writeFrame(over, Buffer.concat([Buffer.of(messageType.reply), own.publicKey, confirmation.expose()]));
  const finish = messageOf(await readFrame(over, handshakeMilliseconds), "finish");
  handshake.requireConfirmation("initiator", finish);
  return sessionOf(accepted, handshake, "peer");
}

/** A connection whose other side is somebody else, or says what it should not, is of no further use. */
async function orEnd(over: Duplex, handshake: () => Promise<Session>): Promise<Session> {
  try {
    return await handshake();
  } catch (error) {
    over.destroy();
    throw error;
  }
}

function messageOf(frame: Buffer, type: keyof typeof messageType): Buffer {
  if (frame[0] !== messageType[type]) throw notOurs();
  return frame.subarray(1);
}

function notOurs(): DomainError {
  return new DomainError("integrity", "the other side of the session does not speak its protocol");
}

function sessionOf(issued: SessionKey, handshake: Handshake, role: "initiator" | "peer"): Session {
  const { exporter, fromInitiator, fromPeer } = handshake.keys();
  using initiatorKey = fromInitiator;
  using peerKey = fromPeer;
  const [sends, receives] = role === "initiator" ? [initiatorKey, peerKey] : [peerKey, initiatorKey];
  const { notAfter, notBefore } = issued;
  const life = notAfter.getTime() - notBefore.getTime();
  const sending = { key: createSecretKey(sends.expose()), count: 0 };
  const receiving = { key: createSecretKey(receives.expose()), count: 0 };
  return {
    peer: role === "initiator" ? issued.peer : issued.initiator,
    notAfter,
    renewAt: new Date(notBefore.getTime() + life * (0.6 + Math.random() * 0.1)),
    seal(plaintext) {
      requireAlive(notAfter, sending.count);
      const { nonce } = nextNonce(sending);
      const cipher = createCipheriv("aes-256-gcm", sending.key, nonce, { authTagLength: tagBytes });
      return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed) {
      requireAlive(notAfter, receiving.count);
      return openNext(receiving, sealed);
    },
    deriveKey(label, lengthBytes = keyBytes) {
      requireAlive(notAfter, 0);
      const info = `claviger/session/v1 derive ${label}`;
      return SecretBytes.take(new Uint8Array(hkdfSync("sha256", exporter.expose(), "", info, lengthBytes)));
    },
    [Symbol.dispose]: () => exporter[Symbol.dispose](),
  };
}

interface Direction {
  key: KeyObject;
  count: number;
}

function nextNonce(direction: Direction): { nonce: Buffer } {
  const nonce = Buffer.alloc(4 + counterBytes);
  nonce.writeBigUInt64BE(BigInt(direction.count), 4);
  direction.count += 1;
  return { nonce };
}

function openNext(direction: Direction, sealed: Uint8Array): Buffer {
  const before = direction.count;
  try {
    const { nonce } = nextNonce(direction);
    const decipher = createDecipheriv("aes-256-gcm", direction.key, nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(sealed.subarray(-tagBytes));
    const plaintext = decipher.update(sealed.subarray(0, -tagBytes));
    return Buffer.concat([plaintext, decipher.final()]);
  } catch (cause) {
    direction.count = before;
    throw new DomainError("integrity", "this is not the next message of the session", {
      hint: "it was changed, repeated, or one before it is missing: end the connection",
      cause,
    });
  }
}

function requireAlive(notAfter: Date, count: number): void {
  if (Date.now() < notAfter.getTime() && count < messagesMax) return;
  throw new DomainError("failed-precondition", `the session ended on ${notAfter.toISOString()}`, {
    hint: "open the next one before: `renewAt` says when",
  });
}
