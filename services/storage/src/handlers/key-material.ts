import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { once } from "@claviger/idempotency";
import type { KeyDates } from "@claviger/lifecycle";
import {
  AddKeyVersionResponseSchema,
  CreateKeyResponseSchema,
  CreateKeyringResponseSchema,
  type KeyMaterialService,
} from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { freshVersion } from "../freshness.ts";
import { countReport } from "../key-callers.ts";
import { addVersion, createKey, createKeyring } from "../key-creation.ts";
import { latestVersion, requireSettledKey } from "../key-dates.ts";
import { generationHistory } from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import { type Registry, requireKey } from "../registry.ts";
import { findGenerationRecord } from "../store/generation-records.ts";
import type { VersionRow } from "../store/key-versions.ts";
import { listGenerations } from "../store/keyrings.ts";
import type { KeyRow } from "../store/keys.ts";
import { reserveUses } from "../uses.ts";
import { admitOriginal } from "./admit-original.ts";
import { custodyHandlers } from "./custody.ts";
import { destructionHandlers } from "./destruction.ts";
import { drillHandlers } from "./drills.ts";
import { importKeyHandlers } from "./import-keys.ts";
import { generationHandlers } from "./keyring-generations.ts";
import { keyMessage, keyringMessage, versionMessage } from "./messages.ts";

export function keyMaterialHandlers(
  open: (tx: Transaction) => Registry,
): Handlers<typeof KeyMaterialService, Transaction> {
  return {
    ...generationHandlers(open),
    ...custodyHandlers(open),
    ...destructionHandlers(open),
    ...drillHandlers(open),
    ...importKeyHandlers(open),
    async createKeyring(request, context) {
      const registry = open(context.unit);
      const original = await admitOriginal(registry, request.original, "keyrings.create", request.name);
      const { repeated, response } = await once(registry, original, CreateKeyringResponseSchema, async () => {
        const row = await createKeyring(registry, { ...request, createdBy: original.caller });
        const generations = await generationHistory(registry, row.name);
        return create(CreateKeyringResponseSchema, {
          keyring: keyringMessage(row, generations),
          created: true,
        });
      });
      return { ...response, created: !repeated };
    },
    async listKeyringGenerations(request, { unit }) {
      const { sealer } = open(unit);
      const rows = await listGenerations(unit, sealer, checkKeyringName(request.keyring));
      if (rows.length === 0) {
        throw new DomainError("not-found", `there is no keyring ${request.keyring}`, {
          hint: `make it first: claviger keyrings create ${request.keyring}`,
        });
      }
      return { generations: rows };
    },
    async createKey(request, context) {
      const registry = open(context.unit);
      const original = await admitOriginal(registry, request.original, "keys.create", request.name);
      const { response } = await once(registry, original, CreateKeyResponseSchema, async () => {
        const row = await createKey(registry, {
          ...request,
          rotationPeriodSeconds: Number(request.rotationPeriodSeconds),
          usesMax: Number(request.usesMax),
          dates: datesOfRequest(request),
          details: {
            createdBy: original.caller,
            owner: request.owner || original.caller,
            description: request.description,
            labels: request.labels,
          },
        });
        return create(CreateKeyResponseSchema, { key: keyMessage(registry, row) });
      });
      context.note({
        keyId: response.key?.id ?? "",
        algorithm: request.algorithm,
        protection: request.protection,
      });
      return response;
    },
    async addKeyVersion(request, context) {
      const registry = open(context.unit);
      const original = await admitOriginal(registry, request.original, "keys.rotate", request.name);
      const { response } = await once(registry, original, AddKeyVersionResponseSchema, async () => {
        const key = await requireSettledKey(registry, request.name);
        const usesMax = Number(request.usesMax);
        const added = { ...request, usesMax, dates: datesOfRequest(request) };
        return create(AddKeyVersionResponseSchema, {
          key: keyMessage(registry, await addVersion(registry, key, added)),
        });
      });
      context.note({ version: request.version });
      return response;
    },
    async getKeyMaterial(request, context) {
      return readMaterial(open(context.unit), request.name, request.version);
    },
    async getGenerationRecord({ name, version }, context) {
      const registry = open(context.unit);
      const key = await requireKey(registry, name);
      const wanted = version || key.currentVersion;
      const generationRecord = await findGenerationRecord(context.unit, key.id, wanted);
      if (generationRecord === undefined) {
        throw new DomainError(
          "not-found",
          `${name} has no version ${wanted}, or no record of its generation`,
        );
      }
      return { generationRecord, version: wanted };
    },
    async reserveUses({ count, name, version }, context) {
      const registry = open(context.unit);
      const key = await requireKey(registry, name);
      const granted = await reserveUses(registry, key, version, count);
      context.note({ version, granted });
      return { granted };
    },
    async reportUses(request, context) {
      const uses = request.uses.map(({ caller, firstUsedAt, lastUsedAt, name, uses: count, version }) => ({
        name,
        version,
        caller,
        uses: Number(count),
        firstUsedAt: requireTime(firstUsedAt),
        lastUsedAt: requireTime(lastUsedAt),
      }));
      const counted = await countReport(open(context.unit), { ...request, uses });
      context.note({ reported: uses.length, counted });
      return {};
    },
  };
}

function requireTime(time: Timestamp | undefined): Date {
  if (time === undefined) throw new DomainError("invalid-argument", "a use has a first and a last moment");
  return timestampDate(time);
}

function datesOfRequest({
  activateAt,
  expireAt,
}: {
  activateAt?: Timestamp | undefined;
  expireAt?: Timestamp | undefined;
}): KeyDates {
  return {
    activateAt: activateAt === undefined ? undefined : timestampDate(activateAt),
    expireAt: expireAt === undefined ? undefined : timestampDate(expireAt),
  };
}

async function readMaterial(registry: Registry, name: string, version: number) {
  let key = await requireKey(registry, name);
  let next = await waitingVersion(registry, key);
  if (next?.activateAt != null && next.activateAt <= registry.now) {
    // Its day has come, and nobody has written it down yet: what is current is decided here and now.
    key = await requireSettledKey(registry, name);
    next = await waitingVersion(registry, key);
  }
  const wanted = version || key.currentVersion;
  const row = wanted > latestVersion(key) ? undefined : await freshVersion(registry, key.id, wanted);
  if (row === undefined) throw new DomainError("not-found", `${name} has no version ${version}`);
  return {
    key: keyMessage(registry, key),
    version: versionMessage(registry, row, key),
    material: row.material ?? new Uint8Array(),
    ...(next?.activateAt == null || row.version !== key.currentVersion
      ? {}
      : { supersededAt: timestampFromDate(next.activateAt) }),
  };
}

/** The version that waits for its activation, where there is one. */
async function waitingVersion(registry: Registry, key: KeyRow): Promise<VersionRow | undefined> {
  const latest = latestVersion(key);
  if (latest === key.currentVersion) return undefined;
  const row = await freshVersion(registry, key.id, latest);
  return row?.state === "pre-activation" ? row : undefined;
}
