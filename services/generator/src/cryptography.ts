import { randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { encodeHeader, nonceBytes, parseCiphertext } from "./ciphertext.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyMechanism, UsableKey } from "./usable-key.ts";

export const plaintextBytesMax = 1024 * 1024;
export const associatedDataBytesMax = 64 * 1024;
export const batchItemsMax = 1000;

export interface Sealed {
  plaintext: Uint8Array;
  associatedData: Uint8Array;
}

export interface Opened {
  ciphertext: Uint8Array;
  associatedData: Uint8Array;
}

/** Encrypts with a key that `require` has let through. */
export async function encryptWith(key: UsableKey, item: Sealed): Promise<Buffer> {
  return key.use((mechanism) => sealItem(key, mechanism, item));
}

async function sealItem(key: UsableKey, mechanism: KeyMechanism, item: Sealed): Promise<Buffer> {
  checkSize(item.plaintext, plaintextBytesMax, "plaintext");
  checkSize(item.associatedData, associatedDataBytesMax, "associated data");
  // Random 96-bit nonces: SP 800-38D section 8.2.2.
  const nonce = randomBytes(nonceBytes);
  const header = encodeHeader(key.facts.idBytes, key.facts.version, nonce);
  const sealed = await mechanism.seal!(nonce, boundData(header, item.associatedData), item.plaintext);
  return Buffer.concat([header, sealed]);
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
  checkSize(item.ciphertext, plaintextBytesMax + 256, "ciphertext");
  checkSize(item.associatedData, associatedDataBytesMax, "associated data");
  const parsed = parseCiphertext(item.ciphertext);
  const key = await requireVersion(keys, name, parsed.version);
  if (key.facts.id !== parsed.keyId) {
    throw new DomainError("integrity", `this ciphertext was not made with ${name}`, {
      hint: "a key of the same name may have been another one, or the ciphertext belongs to another key",
    });
  }
  const associatedData = boundData(parsed.header, item.associatedData);
  const plaintext = await key.use((mechanism) =>
    mechanism.open!(parsed.nonce, associatedData, parsed.sealed),
  );
  return { plaintext, version: key.facts.version };
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
        {
          cause: error,
        },
      );
    }
    throw error;
  }
}

export async function signWith(key: UsableKey, message: Uint8Array): Promise<Uint8Array> {
  checkSize(message, plaintextBytesMax, "message");
  return key.use((mechanism) => mechanism.sign!(message));
}

export function verifyWith(key: UsableKey, message: Uint8Array, signature: Uint8Array): boolean {
  checkSize(message, plaintextBytesMax, "message");
  return key.verify(message, signature);
}

/** The header is of fixed length, so header ‖ associated data has one reading. */
function boundData(header: Uint8Array, associatedData: Uint8Array): Uint8Array {
  return associatedData.length === 0 ? header : Buffer.concat([header, associatedData]);
}

function checkSize(bytes: Uint8Array, max: number, what: string): void {
  if (bytes.length > max) {
    throw new DomainError(
      "invalid-argument",
      `the ${what} has ${bytes.length} bytes, and at most ${max} are taken`,
      {
        hint: "encrypt large data with a data key of your own and that key with Claviger",
      },
    );
  }
}

/** Runs a batch: an item's failure is its own. @throws DomainError where the batch itself is out of bounds */
export async function runBatch<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<({ value: Result } | { error: { kind: string; message: string } })[]> {
  if (items.length === 0 || items.length > batchItemsMax) {
    throw new DomainError("invalid-argument", `a batch has 1 to ${batchItemsMax} items, not ${items.length}`);
  }
  return Promise.all(
    items.map(async (item) => {
      try {
        return { value: await work(item) };
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        return { error: { kind: error.kind, message: error.message } };
      }
    }),
  );
}
