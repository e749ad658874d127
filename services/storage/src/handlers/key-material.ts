import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { once } from "@claviger/idempotency";
import {
  AddKeyVersionResponseSchema,
  CreateKeyResponseSchema,
  CreateKeyringResponseSchema,
  type KeyMaterialService,
} from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { freshVersion } from "../freshness.ts";
import { addVersion, createKey, createKeyring } from "../key-creation.ts";
import { generationHistory } from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import { type Registry, requireKey } from "../registry.ts";
import { findGenerationRecord } from "../store/generation-records.ts";
import { listGenerations } from "../store/keyrings.ts";
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
          owner: original.caller,
        });
        return create(CreateKeyResponseSchema, { key: keyMessage(row) });
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
        const key = await requireKey(registry, request.name, "lock");
        return create(AddKeyVersionResponseSchema, {
          key: keyMessage(await addVersion(registry, key, { ...request, usesMax: Number(request.usesMax) })),
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
  };
}

async function readMaterial(registry: Registry, name: string, version: number) {
  const key = await requireKey(registry, name);
  const wanted = version || key.currentVersion;
  const row = wanted > key.currentVersion ? undefined : await freshVersion(registry, key.id, wanted);
  if (row === undefined) throw new DomainError("not-found", `${name} has no version ${version}`);
  return {
    key: keyMessage(key),
    version: versionMessage(row, key),
    material: row.material ?? new Uint8Array(),
  };
}
