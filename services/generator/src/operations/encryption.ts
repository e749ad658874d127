import { DomainError } from "@claviger/domain-error";
import { pooledRandomBytes } from "@claviger/pooled-random";
import {
  type CiphertextParts,
  encodeHeader,
  nonceBytes,
  notACiphertext,
  parseCiphertext,
  suiteOf,
  tagBytes,
} from "../ciphertext.ts";
import type { KeyStore } from "../key-store.ts";
import type { KeyMechanism } from "../mechanisms/mechanism.ts";
import { encryptOaep } from "../mechanisms/public-key.ts";
import type { UsableKey } from "../usable-key.ts";
import { associatedDataBytesMax, checkSize, ciphertextBytesMax, plaintextBytesMax } from "./limits.ts";

export interface Sealed {
  plaintext: Uint8Array;
  associatedData: Uint8Array;
}

export interface Opened {
  ciphertext: Uint8Array;
  associatedData: Uint8Array;
  /** For a ciphertext that does not say; 0 is the current one. */
  version?: number;
}

const noNonce = Buffer.alloc(0);

/**
 * Encrypts with a key that `require` has let through, and that gave a use for it (`takeUses`). At once
 * where OpenSSL does it.
 */
export function sealItem(key: UsableKey, mechanism: KeyMechanism, item: Sealed): Promise<Buffer> | Buffer {
  checkSize(item.plaintext, plaintextBytesMax, "plaintext");
  checkSize(item.associatedData, associatedDataBytesMax, "associated data");
  const { idBytes, scheme, version } = key.facts;
  if (scheme.kind === "rsa-oaep") {
    const header = encodeHeader(idBytes, version, suiteOf(scheme), noNonce);
    const label = Buffer.concat([header, item.associatedData]);
    return Buffer.concat([header, encryptOaep(scheme, key.publicKey, label, item.plaintext)]);
  }
  // SP 800-38D section 8.2.2: random, 96 bits.
  const nonce = pooledRandomBytes(nonceBytes);
  const header = encodeHeader(idBytes, version, suiteOf(scheme), nonce);
  // A suite's header is of fixed length, so header ‖ associated data has one reading.
  return mechanism.seal!(header, nonce, item.associatedData, item.plaintext);
}

export async function encrypt(
  keys: KeyStore,
  name: string,
  item: Sealed,
): Promise<{ ciphertext: Buffer; version: number }> {
  const { key, value } = await keys.protect(name, ["encrypt"], 1, (mechanism, current) =>
    sealItem(current, mechanism, item),
  );
  return { ciphertext: value, version: key.facts.version };
}

/**
 * Decrypts a ciphertext of any version of the key. The header says which; it is bound by the tag.
 * @throws DomainError `integrity` where it is of another key or was changed
 */
export async function decrypt(
  keys: KeyStore,
  name: string,
  item: Opened,
): Promise<{ plaintext: Buffer; version: number }> {
  checkSize(item.ciphertext, ciphertextBytesMax, "ciphertext");
  checkSize(item.associatedData, associatedDataBytesMax, "associated data");
  const parts = parseCiphertext(item.ciphertext);
  if (parts === undefined) return openForeign(keys, name, item);
  const key = await requireVersion(keys, name, parts.version);
  if (key.facts.id !== parts.keyId || suiteOf(key.facts.scheme) !== parts.suite) {
    if (isBareOaep(key, item.ciphertext)) return openForeign(keys, name, item);
    throw new DomainError("integrity", `this ciphertext was not made with ${name}`, {
      hint: "a key of the same name may have been another one, or the ciphertext belongs to another key",
    });
  }
  const plaintext = await key.use((mechanism) => openParts(mechanism, parts, item.associatedData));
  return { plaintext, version: key.facts.version };
}

function openParts(
  mechanism: KeyMechanism,
  { header, nonce, sealed, suite }: CiphertextParts,
  associatedData: Uint8Array,
): Promise<Buffer> | Buffer {
  if (suite === "rsa-oaep-sha256")
    return mechanism.openOaep!(Buffer.concat([header, associatedData]), sealed);
  if (sealed.length < tagBytes) throw notACiphertext();
  return mechanism.open!(header, nonce, associatedData, sealed);
}

/** What somebody else encrypted with the public key: RSA-OAEP as RFC 8017 has it, the label as the caller says. */
async function openForeign(
  keys: KeyStore,
  name: string,
  { associatedData, ciphertext, version = 0 }: Opened,
): Promise<{ plaintext: Buffer; version: number }> {
  const key = await keys.require(name, version, "decrypt");
  if (!isBareOaep(key, ciphertext)) throw notACiphertext();
  const plaintext = await key.use((mechanism) => mechanism.openOaep!(associatedData, ciphertext));
  return { plaintext, version: key.facts.version };
}

function isBareOaep({ facts: { scheme } }: UsableKey, ciphertext: Uint8Array): boolean {
  return scheme.kind === "rsa-oaep" && ciphertext.length === scheme.modulusBits / 8;
}

/** Decrypts, and encrypts with the current version; the plaintext is cleared here. */
export async function reencrypt(
  keys: KeyStore,
  name: string,
  item: Opened,
): Promise<{ ciphertext: Buffer; version: number; previousVersion: number }> {
  const { plaintext, version: previousVersion } = await decrypt(keys, name, item);
  try {
    return {
      ...(await encrypt(keys, name, { plaintext, associatedData: item.associatedData })),
      previousVersion,
    };
  } finally {
    plaintext.fill(0);
  }
}

async function requireVersion(keys: KeyStore, name: string, version: number): Promise<UsableKey> {
  if (version === 0) throw new DomainError("integrity", "this ciphertext names version 0, which no key has");
  try {
    return await keys.require(name, version, "decrypt");
  } catch (error) {
    if (error instanceof DomainError && error.kind === "not-found" && error.message.includes("no version")) {
      throw new DomainError(
        "integrity",
        `this ciphertext names version ${version}, which ${name} does not have`,
        { cause: error },
      );
    }
    throw error;
  }
}
