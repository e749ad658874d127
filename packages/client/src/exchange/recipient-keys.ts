import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import { recipientKeyId } from "@claviger/key-ticket";
import { type Recipient, RecipientService } from "@claviger/proto/distribution/v1/recipient_pb.ts";
import { recipientFrom, type SecretRecipient } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Claviger } from "../claviger.ts";
import { ownUri, signed } from "./own-identity.ts";

/** Beside the identity's other files, mode 0600. The previous key opens what was sealed before it was replaced. */
const files = { current: "recipient.pem", next: "recipient.next.pem", previous: "recipient.previous.pem" };
const registerMethod = `${RecipientService.typeName}/${RecipientService.method.beginRecipient.name}`;

/** The keys to which keys for this identity are sealed. */
export interface RecipientKeys {
  /** By the `kid` of a ticket. */
  find(keyId: string): KeyObject | undefined;
  /** Every key, the current one first. */
  readonly all: readonly KeyObject[];
}

/** @throws DomainError `failed-precondition` where this identity has registered none */
export function loadRecipientKeys(directory: string): RecipientKeys {
  // The next one too: a process that ended between its registration and its taking the place of the current one left it.
  const all = [files.current, files.next, files.previous].flatMap(
    (name) => readKey(join(directory, name)) ?? [],
  );
  if (all.length === 0) {
    throw new DomainError(
      "failed-precondition",
      `${directory} has no recipient key, to which keys are sealed`,
      {
        hint: "register one: claviger recipients register",
      },
    );
  }
  return { all, find: (keyId) => all.find((key) => recipientKeyId(rawPublicKey(key)) === keyId) };
}

/**
 * Registers this identity's recipient key, and makes it first where there is none, or where `fresh` asks for another.
 * Again and again it prolongs the registration, which ends after ninety days.
 */
export async function registerRecipient(
  claviger: Pick<Claviger, "identity" | "trustDomain" | "recipients">,
  options: { fresh?: boolean } = {},
): Promise<Recipient> {
  const at = (name: string): string => join(claviger.identity.directory, name);
  const known = options.fresh === true ? undefined : readKey(at(files.current));
  const key = known ?? readKey(at(files.next)) ?? makeKey(at(files.next));
  const recipient = await register(claviger, key);
  if (known === undefined) {
    if (existsSync(at(files.current))) renameSync(at(files.current), at(files.previous));
    renameSync(at(files.next), at(files.current));
  }
  return recipient;
}

async function register(
  claviger: Pick<Claviger, "identity" | "trustDomain" | "recipients">,
  key: KeyObject,
): Promise<Recipient> {
  const publicKey = rawPublicKey(key);
  const { expiresAt, sealedChallenge } = await claviger.recipients.beginRecipient({ publicKey });
  const bound = { method: registerMethod, name: ownUri(claviger), version: 1 };
  using challenge = await (await hpkeRecipient(key)).open(sealedChallenge!, bound);
  const fields = { publicKey: publicKey.toString("base64") };
  const { recipient } = await claviger.recipients.registerRecipient({
    signed: signed(claviger, "register-recipient", fields),
    challenge: challenge.expose(),
    ...(expiresAt && { expiresAt }),
  });
  if (recipient === undefined)
    throw new DomainError("integrity", "the service answered without the recipient");
  return recipient;
}

/** The same key for HPKE. */
export async function hpkeRecipient(key: KeyObject): Promise<SecretRecipient> {
  using raw = SecretBytes.take(key.export({ format: "der", type: "pkcs8" }).subarray(-32));
  // Awaited here: the bytes are cleared when this returns.
  return await recipientFrom(raw, rawPublicKey(key));
}

function rawPublicKey(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
}

function makeKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync("x25519");
  writeFileSync(path, privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600, flag: "wx" });
  return privateKey;
}

function readKey(path: string): KeyObject | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyType === "x25519") return key;
  } catch {
    // Said below.
  }
  throw new DomainError("failed-precondition", `${path} is not an X25519 private key in PEM`, {
    hint: "move it away, and register a new one: claviger recipients register --fresh",
  });
}
