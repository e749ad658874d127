import { createHash, timingSafeEqual } from "node:crypto";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { requireNewestRecoveryKey } from "./custody.ts";
import { checkMaterial } from "./key-material.ts";
import { parseKeyName } from "./names.ts";
import { publish, type Registry } from "./registry.ts";
import {
  type GenerationPhase,
  insertGenerationEnd,
  keyringsWithSuperseded,
  listGenerationEnds,
} from "./store/generation-ends.ts";
import { findVersion, updateVersion, type VersionRow } from "./store/key-versions.ts";
import { type GenerationRow, insertGeneration, listGenerations, lockKeyring } from "./store/keyrings.ts";
import { findKey, type KeyRow } from "./store/keys.ts";
import { countMaterial, listSupersededMaterial } from "./store/superseded-material.ts";

/** Of one keyring, over its whole life. */
const generationsMax = 1000;
const keyringsMax = 100;
export const materialsOfPage = 50;

export interface GenerationHistory extends GenerationRow {
  endedAt?: Date | undefined;
  destroyedAt?: Date | undefined;
}

/** A keyring's generations, oldest first, with what became of each. */
export async function generationHistory(registry: Registry, keyring: string): Promise<GenerationHistory[]> {
  const rows = await listGenerations(registry.tx, registry.sealer, keyring);
  const ends = rows.length < 2 ? [] : await listGenerationEnds(registry.tx, registry.sealer, keyring);
  const reached = (generation: number, phase: GenerationPhase): Date | undefined =>
    ends.find((end) => end.generation === generation && end.phase === phase)?.reachedAt;
  return rows.map((row) => ({
    ...row,
    endedAt: reached(row.generation, "ended"),
    destroyedAt: reached(row.generation, "destroyed"),
  }));
}

export async function addGeneration(
  registry: Registry,
  request: {
    keyring: string;
    generation: number;
    tokenObjectId: string;
    recoveryWrap: Uint8Array;
    recoveryKey: string;
  },
): Promise<void> {
  await lockKeyring(registry.tx, request.keyring, "alone");
  const newest = await newestGeneration(registry, request.keyring);
  if (request.generation !== newest + 1) {
    throw new DomainError(
      "aborted",
      `the key of keyring ${request.keyring} got generation ${newest} meanwhile`,
      {
        hint: "look at `claviger keyrings show`, and rotate again if you still want to",
      },
    );
  }
  if (request.generation > generationsMax) {
    throw new DomainError("exhausted", `a keyring's key has at most ${generationsMax} generations`);
  }
  await requireNewestRecoveryKey(registry, request.recoveryKey);
  await insertGeneration(registry.tx, registry.sealer, {
    keyring: request.keyring,
    generation: request.generation,
    tokenObjectId: request.tokenObjectId,
    recoveryWrap: Buffer.from(request.recoveryWrap),
    recoveryKey: request.recoveryKey,
    revision: 1,
    createdAt: registry.now,
  });
  await publish(registry, "keyring.rotated", request.keyring, { generation: request.generation });
}

/**
 * New material is under the newest generation, or is not taken: otherwise an older one could end with
 * something under it. Holds until the transaction ends.
 */
export async function requireNewestGeneration(
  registry: Registry,
  keyring: string,
  material: Uint8Array,
): Promise<void> {
  await lockKeyring(registry.tx, keyring, "shared");
  const newest = await newestGeneration(registry, keyring);
  const under = Buffer.from(material).readUInt32BE(3);
  if (under !== newest) {
    throw new DomainError(
      "aborted",
      `the key of keyring ${keyring} is at generation ${newest}, not ${under}`,
      {
        hint: "try again",
      },
    );
  }
}

async function newestGeneration(registry: Registry, keyring: string): Promise<number> {
  const newest = (await listGenerations(registry.tx, registry.sealer, keyring)).at(-1);
  if (newest === undefined) throw new DomainError("not-found", `there is no keyring ${keyring}`);
  return newest.generation;
}

export async function supersededGenerations(registry: Registry): Promise<GenerationHistory[]> {
  const found: GenerationHistory[] = [];
  for (const keyring of await keyringsWithSuperseded(registry.tx, keyringsMax)) {
    const history = await generationHistory(registry, keyring);
    found.push(...history.slice(0, -1).filter(({ destroyedAt }) => destroyedAt === undefined));
  }
  return found.slice(0, generationsMax);
}

export interface SupersededPage {
  found: { key: KeyRow; version: VersionRow }[];
  /** Rows whose seal does not fit: they stay where they are, and hold up no others. */
  unreadable: string[];
  last: boolean;
  /** Where it ended. */
  end: { key: string; version: number };
}

export async function supersededMaterial(
  registry: Registry,
  keyring: string,
  after: { key: string; version: number },
): Promise<SupersededPage> {
  const { sealer, tx } = registry;
  const newest = await newestGeneration(registry, keyring);
  const places = await listSupersededMaterial(tx, { keyring, newest, after, limit: materialsOfPage });
  const page: SupersededPage = {
    found: [],
    unreadable: [],
    last: places.length < materialsOfPage,
    end: after,
  };
  for (const place of places) {
    page.end = { key: place.key, version: place.version };
    try {
      const key = await findKey(tx, sealer, { keyring, key: place.key });
      const version = await findVersion(tx, sealer, place.keyId, place.version);
      if (key !== undefined && version !== undefined) page.found.push({ key, version });
    } catch (error) {
      if (!isDomainError(error, "integrity")) throw error;
      page.unreadable.push(`${keyring}/${place.key}@${place.version}`);
    }
  }
  return page;
}

/** Resolves to false where the version is not as it was any more: destroyed meanwhile, or replaced before. */
export async function replaceMaterial(
  registry: Registry,
  keyring: string,
  replacement: {
    name: string;
    id: string;
    version: number;
    replacedDigest: Uint8Array;
    material: Uint8Array;
  },
): Promise<boolean> {
  const name = parseKeyName(replacement.name);
  if (name.keyring !== keyring) {
    throw new DomainError("invalid-argument", `${replacement.name} is not in the keyring ${keyring}`);
  }
  const { sealer, tx } = registry;
  const key = await findKey(tx, sealer, name, "lock");
  if (key === undefined || key.id !== replacement.id) return false;
  const version = await findVersion(tx, sealer, key.id, replacement.version);
  if (version === undefined || version.material === null) return false;
  const digest = createHash("sha256").update(version.material).digest();
  const expected = replacement.replacedDigest;
  if (expected.length !== digest.length || !timingSafeEqual(digest, expected)) return false;
  const material = checkMaterial(replacement.material);
  await requireNewestGeneration(registry, keyring, material);
  await updateVersion(tx, sealer, { ...version, material });
  return true;
}

/** Resolves to how much is still under the generation; it ended, or was destroyed, only where that is 0. */
export async function endGeneration(
  registry: Registry,
  end: { keyring: string; generation: number; phase: GenerationPhase },
): Promise<number> {
  await lockKeyring(registry.tx, end.keyring, "alone");
  const history = await generationHistory(registry, end.keyring);
  const row = history.find(({ generation }) => generation === end.generation);
  if (row === undefined || row === history.at(-1)) {
    throw new DomainError(
      "failed-precondition",
      `generation ${end.generation} of ${end.keyring} has no successor`,
    );
  }
  if (end.phase === "destroyed" && row.endedAt === undefined) {
    throw new DomainError(
      "failed-precondition",
      `generation ${end.generation} of ${end.keyring} has not ended`,
    );
  }
  const left = await countMaterial(registry.tx, end.keyring, end.generation);
  if (left > 0) return left;
  if (await insertGenerationEnd(registry.tx, registry.sealer, { ...end, reachedAt: registry.now })) {
    await publish(registry, `keyring.generation-${end.phase}`, end.keyring, { generation: end.generation });
  }
  return 0;
}
