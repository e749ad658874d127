import { createPrivateKey, createPublicKey, randomBytes, type webcrypto } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";

/** As it travels: the two outputs of RFC 9180's single-shot seal. */
export interface SealedSecret {
  encapsulatedKey: Uint8Array;
  ciphertext: Uint8Array;
}

/** What an answer is for, bound by the seal: one made for something else does not open. */
export interface SealContext {
  /** The RPC's full method, such as `claviger.generator.v1.CryptographyService/GenerateDataKey`. */
  method: string;
  /** `keyring/key`. */
  name: string;
  /** Of the key that was used. */
  version: number;
}

const recipientKeyBytes = 32;
const domain = "claviger/sealed-secret/v1";

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

/** HPKE's info. The parts cannot hold a line feed, so this has one reading. */
export function sealInfo({ method, name, version }: SealContext): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(`${domain}\n${method}\n${name}\n${version}`, "utf8"));
}

/**
 * Seals a secret to a recipient's X25519 public key, 32 bytes.
 * @throws DomainError `invalid-argument` where that is no such key, or one of small order
 */
export async function sealSecret(
  recipientPublicKey: Uint8Array,
  context: SealContext,
  secret: SecretBytes,
): Promise<SealedSecret> {
  if (recipientPublicKey.length !== recipientKeyBytes) throw notARecipient();
  const plaintext = secret.expose();
  try {
    const publicKey = await suite.kem.deserializePublicKey(exactBuffer(recipientPublicKey));
    const sealed = await suite.seal({ recipientPublicKey: publicKey, info: sealInfo(context) }, plaintext);
    return { encapsulatedKey: new Uint8Array(sealed.enc), ciphertext: new Uint8Array(sealed.ct) };
  } catch (cause) {
    throw notARecipient(cause);
  }
}

function notARecipient(cause?: unknown): DomainError {
  return new DomainError("invalid-argument", "the recipient's public key is not an X25519 key of 32 bytes", {
    hint: "raw keys never travel: name a public key that the secret is sealed to",
    cause,
  });
}

/** Somebody who asks for a secret: a key pair for one answer. */
export interface SecretRecipient {
  /** X25519, 32 bytes. */
  publicKey: Uint8Array;
  /** @throws DomainError `integrity` where it was sealed to somebody else, for something else, or changed */
  open(sealed: SealedSecret, context: SealContext): Promise<SecretBytes>;
}

export async function createRecipient(): Promise<SecretRecipient> {
  const pair = await suite.kem.generateKeyPair();
  const publicKey = new Uint8Array(await suite.kem.serializePublicKey(pair.publicKey));
  return recipientWith(pair, publicKey);
}

/** Somebody whose key is kept: an X25519 private key of 32 bytes and its public half. */
export async function recipientFrom(
  privateKey: SecretBytes,
  publicKey: Uint8Array,
): Promise<SecretRecipient> {
  const pair = {
    privateKey: await suite.kem.importKey("raw", privateKey.expose().buffer, false),
    // Given, since the library would have to export the private key to derive it.
    publicKey: await suite.kem.deserializePublicKey(exactBuffer(publicKey)),
  };
  return recipientWith(pair, publicKey);
}

/** The secret that a recipient is made of, for whoever has to keep it: 32 random bytes, X25519's private key. */
export function createRecipientSecret(): SecretBytes {
  return SecretBytes.take(randomBytes(recipientKeyBytes));
}

/** The secret stays the caller's to clear. */
export function recipientOf(secret: SecretBytes): Promise<SecretRecipient> {
  return recipientFrom(secret, publicKeyOf(secret));
}

/** DER of an X25519 private key in PKCS #8, up to the key itself (RFC 8410 section 7). */
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex");

function recipientWith(recipientKey: webcrypto.CryptoKeyPair, publicKey: Uint8Array): SecretRecipient {
  return {
    publicKey,
    async open({ ciphertext, encapsulatedKey }, context) {
      try {
        const opened = await suite.open(
          { recipientKey, enc: exactBuffer(encapsulatedKey), info: sealInfo(context) },
          exactBuffer(ciphertext),
        );
        return SecretBytes.take(new Uint8Array(opened));
      } catch (cause) {
        throw new DomainError("integrity", "a sealed secret does not open", {
          hint: "it was sealed to somebody else or for something else, or was changed on its way",
          cause,
        });
      }
    },
  };
}

function publicKeyOf(secret: SecretBytes): Uint8Array {
  using pkcs8 = SecretBytes.allocate(pkcs8Prefix.length + secret.length);
  pkcs8.expose().set(pkcs8Prefix);
  pkcs8.expose().set(secret.expose(), pkcs8Prefix.length);
  const key = createPrivateKey({ key: Buffer.from(pkcs8.expose().buffer), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  return new Uint8Array(spki.subarray(spki.length - recipientKeyBytes));
}

/** A buffer of these bytes alone: a view may lie in a larger one. */
function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
