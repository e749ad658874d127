import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { whyRefused } from "@claviger/lifecycle";
import { requireNewestRecoveryKey } from "./custody.ts";
import { freshVersion } from "./freshness.ts";
import { requireAlive } from "./key-lifecycle.ts";
import { checkMaterial } from "./key-material.ts";
import { requireNewestGeneration } from "./keyring-generations.ts";
import { checkKeyringName, parseKeyName } from "./names.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { insertGenerationRecord } from "./store/generation-records.ts";
import { findKeyring, insertGeneration, insertKeyring, type KeyringRow } from "./store/keyrings.ts";
import { insertKey, insertVersion, type KeyRow, updateKey, updateVersion } from "./store/keys.ts";
import { insertMaterialDigest } from "./store/material-digests.ts";
import { beginUses } from "./uses.ts";

export interface NewGenerationRecord {
  record: Uint8Array;
  signature: Uint8Array;
  signerVersion: number;
}

export interface NewKey {
  id: string;
  name: string;
  purpose: string;
  algorithm: string;
  protection: string;
  exportable: boolean;
  destroyAfterDays: number;
  rotationPeriodSeconds: number;
  /** 0 where the algorithm does not bound its uses. */
  usesMax: number;
  generationRecord?: NewGenerationRecord | undefined;
  material: Uint8Array;
  /** Empty where the generator cannot see the material. */
  materialDigest: Uint8Array;
  owner: string;
}

const destroyAfterDaysDefault = 30;
const rotationPeriodSecondsMin = 60;
const rotationPeriodSecondsMax = 10 * 366 * 86_400;
const recordBytesMax = 16 * 1024;
const digestBytes = 32;

export async function createKeyring(
  registry: Registry,
  request: {
    name: string;
    generation: number;
    tokenObjectId: string;
    recoveryWrap: Uint8Array;
    recoveryKey: string;
    createdBy: string;
  },
): Promise<KeyringRow> {
  const name = checkKeyringName(request.name);
  if (await findKeyring(registry.tx, registry.sealer, name)) {
    throw new DomainError("already-exists", `the keyring ${name} exists already`);
  }
  await requireNewestRecoveryKey(registry, request.recoveryKey);
  const row = { name, createdAt: registry.now, createdBy: request.createdBy };
  await insertKeyring(registry.tx, registry.sealer, row);
  await insertGeneration(registry.tx, registry.sealer, {
    keyring: name,
    generation: request.generation,
    tokenObjectId: request.tokenObjectId,
    recoveryWrap: Buffer.from(request.recoveryWrap),
    recoveryKey: request.recoveryKey,
    revision: 1,
    createdAt: registry.now,
  });
  await publish(registry, "keyring.created", name);
  return row;
}

export async function createKey(registry: Registry, request: NewKey): Promise<KeyRow> {
  const { keyring, key: name } = parseKeyName(request.name);
  if ((await findKeyring(registry.tx, registry.sealer, keyring)) === undefined) {
    throw new DomainError("not-found", `there is no keyring ${keyring}`, {
      hint: `make it first: claviger keyrings create ${keyring}`,
    });
  }
  const material = checkMaterial(request.material);
  await requireNewestGeneration(registry, keyring, material);
  const row: KeyRow = {
    id: request.id || randomUUID(),
    keyring,
    name,
    purpose: request.purpose,
    algorithm: request.algorithm,
    protection: request.protection,
    exportable: request.exportable,
    state: "active",
    currentVersion: 1,
    owner: request.owner,
    createdAt: registry.now,
    rotatedAt: registry.now,
    rotationPeriodSeconds: checkRotationPeriod(request.rotationPeriodSeconds),
    destroyAfterDays: checkDestroyAfter(request.destroyAfterDays),
    destroyAt: null,
    revision: 1,
  };
  if (!(await insertKey(registry.tx, registry.sealer, row))) {
    throw new DomainError("already-exists", `the key ${request.name} exists already`, {
      hint: `a new version of it: claviger keys rotate ${request.name}`,
    });
  }
  await insertVersion(registry.tx, registry.sealer, {
    keyId: row.id,
    version: 1,
    state: "active",
    material,
    createdAt: registry.now,
    revision: 1,
  });
  await requireNew(registry, { keyId: row.id, version: 1 }, request.materialDigest);
  await beginUses(registry, { keyId: row.id, version: 1 }, request.usesMax);
  await keepRecord(registry, { keyId: row.id, version: 1 }, request.generationRecord);
  await publish(registry, "key.created", fullName(row), {
    keyId: row.id,
    version: 1,
    rotationPeriodSeconds: row.rotationPeriodSeconds,
  });
  return row;
}

/** The next version becomes current, the one before it is deactivated: it protects nothing new. */
export async function addVersion(
  registry: Registry,
  key: KeyRow,
  request: Pick<NewKey, "id" | "material" | "materialDigest" | "usesMax" | "generationRecord"> & {
    version: number;
  },
): Promise<KeyRow> {
  requireAlive(key);
  if (request.id !== key.id || request.version !== key.currentVersion + 1) {
    throw new DomainError("aborted", `${fullName(key)} got version ${key.currentVersion} meanwhile`, {
      hint: "look at `claviger keys versions`, and rotate again if you still want to",
    });
  }
  const material = checkMaterial(request.material);
  await requireNewestGeneration(registry, key.keyring, material);
  const refusal = whyRefused("new-version", {
    keyState: key.state,
    versionState: "active",
    destroyAt: undefined,
  });
  if (refusal !== undefined) throw new DomainError("failed-precondition", `${fullName(key)} ${refusal}`);
  const previous = await freshVersion(registry, key.id, key.currentVersion);
  if (previous?.state === "active" || previous?.state === "suspended") {
    await updateVersion(registry.tx, registry.sealer, { ...previous, state: "deactivated" });
  }
  await insertVersion(registry.tx, registry.sealer, {
    keyId: key.id,
    version: request.version,
    state: "active",
    material,
    createdAt: registry.now,
    revision: 1,
  });
  await requireNew(registry, { keyId: key.id, version: request.version }, request.materialDigest);
  await beginUses(registry, { keyId: key.id, version: request.version }, request.usesMax);
  await keepRecord(registry, { keyId: key.id, version: request.version }, request.generationRecord);
  const next = { ...key, currentVersion: request.version, rotatedAt: registry.now };
  await updateKey(registry.tx, registry.sealer, next);
  await publish(registry, "key.rotated", fullName(key), {
    keyId: key.id,
    version: request.version,
    previousVersion: key.currentVersion,
  });
  return next;
}

/** One key, one purpose (SP 800-57 Part 1 section 5.2): the same material is nobody's second key. */
async function requireNew(
  registry: Registry,
  of: { keyId: string; version: number },
  digest: Uint8Array,
): Promise<void> {
  if (digest.length === 0) return;
  if (digest.length !== digestBytes) {
    throw new DomainError("invalid-argument", `a digest of material has ${digestBytes} bytes`);
  }
  if (!(await insertMaterialDigest(registry.tx, { ...of, digest: Buffer.from(digest) }))) {
    throw new DomainError("failed-precondition", "this key material is, or was, another key already", {
      hint: "every key has material of its own: make a new key, and encrypt anew with it",
    });
  }
}

async function keepRecord(
  registry: Registry,
  of: { keyId: string; version: number },
  made: NewGenerationRecord | undefined,
): Promise<void> {
  const { record, signature, signerVersion } = made ?? {};
  const whole = record !== undefined && signature !== undefined && signerVersion !== undefined;
  if (!whole || record.length === 0 || record.length > recordBytesMax || signature.length > 1024) {
    throw new DomainError("invalid-argument", "a version comes with the record of its generation");
  }
  await insertGenerationRecord(registry.tx, {
    ...of,
    record: Buffer.from(record),
    signature: Buffer.from(signature),
    signerVersion,
  });
}

export function checkRotationPeriod(seconds: number): number {
  if (seconds !== 0 && (seconds < rotationPeriodSecondsMin || seconds > rotationPeriodSecondsMax)) {
    throw new DomainError("invalid-argument", "a rotation period is at least a minute and at most ten years");
  }
  return seconds;
}

function checkDestroyAfter(days: number): number {
  const chosen = days || destroyAfterDaysDefault;
  if (chosen < 7 || chosen > 90) {
    throw new DomainError("invalid-argument", "a destruction period is 7 to 90 days");
  }
  return chosen;
}
