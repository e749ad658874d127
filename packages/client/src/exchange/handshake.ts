import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { SessionKey } from "./session-keys.ts";

/** Of both sides' fresh keys, once each has shown the other that it has the ticket's key. */
export interface HandshakeKeys {
  fromInitiator: SecretBytes;
  fromPeer: SecretBytes;
  exporter: SecretBytes;
}

const keyBytes = 32;
const domain = "claviger/session/v1";
/** SubjectPublicKeyInfo of X25519 (RFC 8410) is these 12 bytes and then the key. */
const x25519Prefix = Buffer.from("302a300506032b656e032100", "hex");

export interface Ephemeral {
  publicKey: Buffer;
  privateKey: KeyObject;
}

export function createEphemeral(): Ephemeral {
  const pair = generateKeyPairSync("x25519");
  return {
    publicKey: pair.publicKey.export({ format: "der", type: "spki" }).subarray(-keyBytes),
    privateKey: pair.privateKey,
  };
}

/**
 * What both sides derive: from the ticket's key, which says who they are, and from an exchange of two keys that are
 * gone afterwards, so that who learns the ticket's key later reads nothing of the session.
 */
export class Handshake implements Disposable {
  readonly #secret: SecretBytes;
  readonly #transcript: Buffer;

  /**
   * @param initiatorKey and `peerKey`: the two fresh public keys, 32 bytes each
   * @throws DomainError `integrity` where the other side's is of small order
   */
  constructor(
    session: Pick<SessionKey, "key" | "statement">,
    own: Ephemeral,
    { initiatorKey, peerKey }: { initiatorKey: Uint8Array; peerKey: Uint8Array },
  ) {
    const other = Buffer.compare(own.publicKey, initiatorKey) === 0 ? peerKey : initiatorKey;
    using agreed = agree(own.privateKey, other);
    this.#transcript = transcriptOf(session.statement, initiatorKey, peerKey);
    // HKDF-Extract and Expand (RFC 5869): the ticket's key is the salt, as TLS 1.3 does with a pre-shared key.
    const derived = hkdfSync("sha256", agreed.expose(), session.key.expose(), `${domain} secret`, keyBytes);
    this.#secret = SecretBytes.take(new Uint8Array(derived));
  }

  confirmation(of: "initiator" | "peer"): SecretBytes {
    return this.#expand(`confirm ${of}`);
  }

  /** @throws DomainError `integrity` where the other side does not have the ticket's key */
  requireConfirmation(of: "initiator" | "peer", given: Uint8Array): void {
    using expected = this.confirmation(of);
    if (given.length === keyBytes && timingSafeEqual(expected.expose(), given)) return;
    throw new DomainError("integrity", `the ${of} did not show that it has the session's key`, {
      hint: "somebody else is at the other end, or changed something on the way: nothing was sent to it",
    });
  }

  keys(): HandshakeKeys {
    return {
      fromInitiator: this.#expand("key initiator"),
      fromPeer: this.#expand("key peer"),
      exporter: this.#expand("exporter"),
    };
  }

  #expand(label: string): SecretBytes {
    const info = Buffer.concat([Buffer.from(`${domain} ${label}\0`, "utf8"), this.#transcript]);
    return SecretBytes.take(new Uint8Array(hkdfSync("sha256", this.#secret.expose(), "", info, keyBytes)));
  }

  [Symbol.dispose](): void {
    this.#secret[Symbol.dispose]();
  }
}

/** SHA-256 over what was said: the generator's statement, and both fresh keys. */
export function transcriptOf(statement: string, initiatorKey: Uint8Array, peerKey: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(statement.length);
  return createHash("sha256")
    .update(`${domain}\0`)
    .update(length)
    .update(statement, "ascii")
    .update(initiatorKey)
    .update(peerKey)
    .digest();
}

function agree(privateKey: KeyObject, otherKey: Uint8Array): SecretBytes {
  try {
    const key = Buffer.concat([x25519Prefix, otherKey]);
    const publicKey = createPublicKey({ key, format: "der", type: "spki" });
    // OpenSSL refuses keys of small order, whose secret is zero (RFC 7748 section 6.1).
    return SecretBytes.take(diffieHellman({ privateKey, publicKey }));
  } catch (cause) {
    throw new DomainError("integrity", "the other side sent a key that is none", { cause });
  }
}
