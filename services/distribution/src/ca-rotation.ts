import { type Authority, issuingName, rootName } from "./authorities.ts";
import { crossCertify, type MakingOptions, makeAuthority, openAuthorities } from "./authority-making.ts";
import { moveAuthority } from "./authority-states.ts";
import { publish, type Registry } from "./registry.ts";
import { type AccessClient, endCertificate } from "./revocation.ts";
import { type AuthorityRotationRow, newestRotation, saveRotation } from "./store/authority-rotations.ts";
import { listWithoutBundle } from "./store/followers.ts";
import { anyOld, countOld, lockOfAuthority } from "./store/old-certificates.ts";
import { listTrust } from "./store/trust.ts";
import { bundleDigest, partsWithoutBundle, partsWithoutRenewal } from "./trust.ts";

const revokedAtOnce = 100;

export interface CaRotationOptions extends MakingOptions {
  storage: AccessClient;
  /** What parts showed before this process began does not count. */
  startedAt: Date;
  onProgress: (what: string) => void;
}

/** "making" → "distributing" → "renewing" → "dropping" → "done". */
export type RotationStage = "making" | "distributing" | "renewing" | "dropping" | "done";

/**
 * Takes all CAs to their next generation without an outage. Each step is decided by what the database says,
 * so that it goes on after any crash and in any replica: the new root is in every bundle before a key under it
 * signs, each root certifies the other, and the old one stays until its last certificate has ended.
 */
export class CaRotation {
  readonly #options: CaRotationOptions;
  /** How many certificates the generation before had when it stopped signing, where this process saw that. */
  oldCertificates = 0;

  constructor(options: CaRotationOptions) {
    this.#options = options;
  }

  /** Makes the CAs of a new installation, and loads them. */
  open(): Promise<void> {
    return openAuthorities(this.#options);
  }

  /** One step; resolves to whether another may follow at once. */
  async step(): Promise<boolean> {
    const { authorities, inTransaction } = this.#options;
    await authorities.refresh();
    if (await this.#revokeDistrusted()) return true;
    const open = await inTransaction(({ sealer, tx }) => newestRotation(tx, sealer));
    if (open === undefined || open.endedAt !== null) return false;
    const stage = stageOf(authorities.current.all, open);
    if (stage === "making") {
      await this.#make(open.generation);
      return true;
    }
    const moved = await inTransaction((registry) => this.#advance(registry, stage));
    if (moved) await authorities.refresh();
    return moved;
  }

  async #make(generation: number): Promise<void> {
    const { authorities, issuingAlgorithms, onProgress } = this.#options;
    await makeAuthority(this.#options, { name: rootName, generation, state: "coming" });
    const signing = authorities.current.all.filter(({ state }) => state === "active" || state === "retiring");
    for (const { row } of signing.filter((authority) => authority.row.name === rootName)) {
      await crossCertify(this.#options, row.generation, generation);
    }
    for (const name of Object.keys(issuingAlgorithms)) {
      await makeAuthority(this.#options, { name, generation, state: "coming" });
    }
    await authorities.refresh();
    onProgress(`generation ${generation} of the CAs is made`);
  }

  async #advance(registry: Registry, expected: RotationStage): Promise<boolean> {
    const { authorities, onProgress } = this.#options;
    // Held by whichever replica is at it; what it finds under the lock decides.
    const rotation = await newestRotation(registry.tx, registry.sealer, "lock");
    const { all } = authorities.current;
    if (rotation === undefined || rotation.endedAt !== null || stageOf(all, rotation) !== expected)
      return false;
    if ((await this.waitingFor(registry, rotation)).length > 0) return false;
    if (expected === "distributing") {
      for (const authority of generationsToMove(all, rotation.generation)) {
        await moveAuthority(registry, authority, authority.state === "coming" ? "active" : "retiring");
      }
      const generations = all.map(({ row }) => row.generation).filter((at) => at < rotation.generation);
      this.oldCertificates = (await countOld(registry.tx, { generations, now: registry.now })).count;
      onProgress(`generation ${rotation.generation} of the CAs signs from now on`);
    } else if (expected === "renewing") {
      const old = all.filter(({ state }) => state === "retiring");
      if (await this.#stillNeeded(registry, old)) return false;
      for (const authority of old) await moveAuthority(registry, authority, "retired");
      onProgress(`the CAs before generation ${rotation.generation} have ended`);
    } else if (expected === "dropping") {
      await saveRotation(registry.tx, registry.sealer, { ...rotation, endedAt: registry.now });
      await publish(registry, "authority.rotated", rootName, { generation: rotation.generation });
      onProgress(`the rotation to generation ${rotation.generation} is done`);
    }
    return true;
  }

  /** Claviger's own parts that hold the rotation's stage back. */
  async waitingFor(registry: Registry, rotation: AuthorityRotationRow): Promise<string[]> {
    const { authorities, startedAt } = this.#options;
    const stage = stageOf(authorities.current.all, rotation);
    const rows = await listTrust(registry.tx);
    const digest = bundleDigest(authorities.trustBundle);
    if (stage === "distributing" || stage === "dropping") return partsWithoutBundle(rows, digest);
    if (stage === "renewing") {
      return partsWithoutRenewal(rows, startedAt, authorities.issuing.row.generation);
    }
    return [];
  }

  /** By certificates that are valid, and by those that say which bundle they trust, and trust an older one. */
  async #stillNeeded(registry: Registry, old: readonly Authority[]): Promise<boolean> {
    const { now, tx } = registry;
    const generations = old.map(({ row }) => row.generation);
    if (await anyOld(tx, { generations, now })) return true;
    const bundleSha256 = bundleDigest(this.#options.authorities.trustBundle);
    return (await listWithoutBundle(tx, { bundleSha256, now, limit: 1 })).following > 0;
  }

  /** A page of what a distrusted CA issued; resolves to whether there may be more. */
  async #revokeDistrusted(): Promise<boolean> {
    const { authorities, inTransaction, storage } = this.#options;
    const distrusted = authorities.current.all.filter(
      ({ row, state }) => state === "distrusted" && row.name !== rootName,
    );
    for (const { row } of distrusted) {
      const revoked = await inTransaction(async (registry) => {
        const { generation, name } = row;
        const of = { authority: name, generation, now: registry.now, limit: revokedAtOnce };
        const rows = await lockOfAuthority(registry.tx, registry.sealer, of);
        for (const certificate of rows) await endCertificate(registry, storage, certificate, "cACompromise");
        return rows.length;
      });
      if (revoked > 0) return true;
    }
    return false;
  }
}

export function stageOf(
  all: readonly Pick<Authority, "row" | "state">[],
  rotation: AuthorityRotationRow,
): RotationStage {
  if (rotation.endedAt !== null) return "done";
  const ofIt = all.filter(({ row }) => row.generation === rotation.generation);
  const root = ofIt.find(({ row }) => row.name === rootName);
  const issuing = ofIt.find(({ row }) => row.name === issuingName);
  if (root === undefined || issuing === undefined) return "making";
  if (root.state === "coming" || issuing.state === "coming") return "distributing";
  return all.some(({ state }) => state === "retiring") ? "renewing" : "dropping";
}

/** What comes, and what signs now under the names of what comes. */
function generationsToMove(all: readonly Authority[], generation: number): Authority[] {
  const coming = all.filter(({ row, state }) => row.generation === generation && state === "coming");
  const names = new Set(coming.map(({ row }) => row.name));
  const before = all.filter(
    ({ row, state }) => state === "active" && row.generation < generation && names.has(row.name),
  );
  return [...before, ...coming];
}
