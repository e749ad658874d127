import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { type KeyDates, whyRefused } from "@claviger/lifecycle";
import { requireNewestRecoveryKey } from "./custody.ts";
import { newPeriod } from "./destruction-period.ts";
import { freshVersion } from "./freshness.ts";
import { checkNewDates, latestVersion, takeOver } from "./key-dates.ts";
import { checkDetails, concealDetails, indexDetails, type KeyDetails } from "./key-details.ts";
import { requireAlive } from "./key-lifecycle.ts";
import { checkMaterial } from "./key-material.ts";
import { requireNewestGeneration } from "./keyring-generations.ts";
import { checkKeyringName, parseKeyName } from "./names.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { insertGenerationRecord } from "./store/generation-records.ts";
import { insertVersion } from "./store/key-versions.ts";
import { findKeyring, insertGeneration, insertKeyring, type KeyringRow } from "./store/keyrings.ts";
import { insertKey, type KeyRow, updateKey } from "./store/keys.ts";
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
  dates: KeyDates;
  details: KeyDetails;
}

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
  checkDetails(request.details);
  const id = request.id || randomUUID();
  const row: KeyRow = {
    id,
    keyring,
    name,
    purpose: request.purpose,
    algorithm: request.algorithm,
    protection: request.protection,
    exportable: request.exportable,
    ...checkNewDates(request.dates, registry.now),
    stateReason: "",
    stateChangedAt: null,
    currentVersion: 1,
    latestVersion: null,
    owner: "",
    details: concealDetails(registry.columns, id, request.details),
    createdAt: registry.now,
    rotatedAt: registry.now,
    rotationPeriodSeconds: checkRotationPeriod(request.rotationPeriodSeconds),
    destroyAfterDays: await newPeriod(registry, keyring, request.destroyAfterDays),
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
    ...bornActive,
    revision: 1,
  });
  await indexDetails(registry, row);
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

const bornActive = { activateAt: null, expireAt: null, stateReason: "", stateChangedAt: null } as const;

/**
 * The next version of a settled key. It becomes current, and the one before it is deactivated: at once, or on the day
 * that it waits for.
 */
export async function addVersion(
  registry: Registry,
  key: KeyRow,
  request: Pick<NewKey, "id" | "material" | "materialDigest" | "usesMax" | "generationRecord"> & {
    version: number;
    dates: KeyDates;
  },
): Promise<KeyRow> {
  requireAlive(key);
  if (request.id !== key.id || request.version !== latestVersion(key) + 1) {
    throw new DomainError("aborted", `${fullName(key)} got version ${latestVersion(key)} meanwhile`, {
      hint: "look at `claviger keys versions`, and rotate again if you still want to",
    });
  }
  const material = checkMaterial(request.material);
  await requireNewestGeneration(registry, key.keyring, material);
  const condition = { keyState: key.state, versionState: "active", destroyAt: undefined } as const;
  const refusal = whyRefused("new-version", condition, registry.now);
  if (refusal !== undefined) throw new DomainError("failed-precondition", `${fullName(key)} ${refusal}`);
  await refuseWhileOneWaits(registry, key);
  const born = checkNewDates(request.dates, registry.now);
  await insertVersion(registry.tx, registry.sealer, {
    keyId: key.id,
    version: request.version,
    material,
    createdAt: registry.now,
    ...bornActive,
    ...born,
    revision: 1,
  });
  await requireNew(registry, { keyId: key.id, version: request.version }, request.materialDigest);
  await beginUses(registry, { keyId: key.id, version: request.version }, request.usesMax);
  await keepRecord(registry, { keyId: key.id, version: request.version }, request.generationRecord);
  const waits = born.state === "pre-activation";
  // Kept from the first version that ever waited on: until then the current one is the latest.
  const latest = waits || key.latestVersion !== null ? request.version : null;
  if (!waits) return takeOver(registry, { ...key, latestVersion: latest }, request.version, registry.now);
  await publish(registry, "key.version-waits", fullName(key), {
    keyId: key.id,
    version: request.version,
    activateAt: request.dates.activateAt?.toISOString() ?? null,
  });
  return updateKey(registry.tx, registry.sealer, { ...key, latestVersion: latest });
}

/** One version waits at a time: which of several is to be current could not be told. */
async function refuseWhileOneWaits(registry: Registry, key: KeyRow): Promise<void> {
  const latest = latestVersion(key);
  if (latest === key.currentVersion) return;
  const waiting = await freshVersion(registry, key.id, latest);
  if (waiting?.state !== "pre-activation") return;
  const name = `${fullName(key)}@${latest}`;
  const day = waiting.activateAt?.toISOString() ?? "";
  throw new DomainError("failed-precondition", `${name} waits for its activation on ${day}`, {
    hint: `let it come first: claviger keys enable ${name}; or end it: claviger keys revoke ${name} --reason …`,
  });
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
