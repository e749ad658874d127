import { randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { requireHsmSpec } from "../algorithm-choice.ts";
import { algorithmRow, type Scheme } from "../algorithms.ts";
import type { Hsm } from "../hsm/port.ts";
import { pairwiseConsistent } from "../key-validation.ts";
import { fingerprintOf, materialDigest } from "../material-digest.ts";
import { type MaterialBinding, type MaterialEnvelope, openEnvelope } from "../material-envelope.ts";
import { hsmMechanism } from "../mechanisms/hsm.ts";
import type { KeyMechanism } from "../mechanisms/mechanism.ts";
import { softwareMechanism } from "../mechanisms/software.ts";
import type { Proof } from "./drill-report.ts";

export interface StoredMaterial {
  binding: MaterialBinding;
  material: Buffer;
  /** As it was registered; undefined for what only the HSM has seen, and for public halves. */
  digest: Buffer | undefined;
}

/** The token object for a generation of a keyring's key. */
export type FindKeyringKey = (keyring: string, generation: number) => string | undefined;

const probeBytes = 48;
const nonceBytes = 12;

/** @throws DomainError `integrity` where the HSM did not bind this material to what the row says */
export function openStored(hsm: Hsm, { binding, material }: StoredMaterial): Promise<MaterialEnvelope> {
  return openEnvelope(material, binding, (data) => hsm.bindingMac(data));
}

/**
 * Uses a key whose material was found to be bound to it, and says by what it is proved. What is made of it stays here
 * and is forgotten: no ciphertext of a drill is ever seen, so that none counts among a version's uses.
 * @throws DomainError where the key does not work, or is another
 */
export async function proveByUse(
  hsm: Hsm,
  stored: StoredMaterial,
  envelope: MaterialEnvelope,
  findKeyringKey: FindKeyringKey,
): Promise<Proof> {
  if (envelope.wrapped.length === 0) return "none-secret";
  const { binding } = stored;
  const keyring = binding.name.split("/")[0]!;
  const keyringKey = findKeyringKey(keyring, envelope.keyringGeneration);
  if (keyringKey === undefined) {
    throw new DomainError(
      "integrity",
      `generation ${envelope.keyringGeneration} of the keyring's key is not there`,
    );
  }
  const row = algorithmRow(binding.algorithm);
  if (binding.protection === "hsm") {
    const spec = requireHsmSpec(binding.algorithm);
    const lack = hsm.lacks(spec);
    if (lack !== undefined) throw new DomainError("failed-precondition", `the HSM ${lack}`);
    const handle = await hsm.unwrapKey(keyringKey, spec, envelope.wrapped);
    const mechanism = hsmMechanism(hsm, handle, row.scheme, () => undefined);
    return use(row.scheme, mechanism, envelope.publicKey, "binding");
  }
  using secret = await hsm.unwrapSecret(keyringKey, envelope.wrapped);
  const known = await requireSameSecret(hsm, stored, secret, envelope.publicKey);
  return await use(row.scheme, softwareMechanism(row, secret), envelope.publicKey, known);
}

/** That it is the secret of which a digest was registered when the key was made. */
async function requireSameSecret(
  hsm: Hsm,
  { digest }: StoredMaterial,
  secret: SecretBytes,
  publicKey: Buffer,
): Promise<Proof> {
  if (digest === undefined) return "binding";
  const fingerprint = fingerprintOf(publicKey.length === 0 ? secret.expose() : publicKey);
  if (digest.equals(await materialDigest(fingerprint, (data) => hsm.bindingMac(data)))) return "digest";
  throw new DomainError("integrity", "it is another secret than was registered");
}

async function use(scheme: Scheme, mechanism: KeyMechanism, publicKey: Buffer, known: Proof): Promise<Proof> {
  try {
    if (publicKey.length > 0) {
      if (await pairwiseConsistent(scheme, mechanism, publicKey)) return "public-key";
      throw new DomainError("integrity", "it does not belong to the public half that was stored");
    }
    if (await undoesWhatItDid(scheme, mechanism)) return known;
    throw new DomainError("integrity", "it does not undo what it did");
  } finally {
    mechanism.destroy();
  }
}

async function undoesWhatItDid(scheme: Scheme, mechanism: KeyMechanism): Promise<boolean> {
  const probe = randomBytes(probeBytes);
  switch (scheme.kind) {
    case "aes-gcm": {
      const nonce = randomBytes(nonceBytes);
      const about = randomBytes(probeBytes);
      const none = new Uint8Array(0);
      const sealed = await mechanism.seal!(none, nonce, about, probe);
      if (sealed.includes(probe)) return false;
      return probe.equals(await mechanism.open!(none, nonce, about, sealed));
    }
    case "aes-kwp": {
      using secret = SecretBytes.take(Buffer.from(probe));
      using unwrapped = await mechanism.unwrap!(await mechanism.wrap!(secret));
      return probe.equals(unwrapped.expose());
    }
    case "hmac": {
      const tag = await mechanism.mac!(probe);
      const other = await mechanism.mac!(randomBytes(probeBytes));
      return tag.equals(await mechanism.mac!(probe)) && !tag.equals(other);
    }
    default:
      throw new DomainError("internal", `a key for ${scheme.kind} came without its public half`);
  }
}
