import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Binding, BindingSchema } from "@claviger/proto/storage/v1/access_pb.ts";
import {
  type Hold,
  HoldSchema,
  type Key,
  type Keyring,
  KeyringSchema,
  KeySchema,
  type KeyVersion,
  KeyVersionSchema,
} from "@claviger/proto/storage/v1/key_pb.ts";
import type { Binding as AccessBinding } from "../access-rules.ts";
import type { GenerationHistory } from "../keyring-generations.ts";
import { fullName } from "../registry.ts";
import type { BindingRow } from "../store/bindings.ts";
import type { HoldRow } from "../store/holds.ts";
import type { KeyringRow } from "../store/keyrings.ts";
import type { KeyRow, VersionRow } from "../store/keys.ts";
import type { UsesRow } from "../store/uses.ts";

export function keyringMessage(
  row: KeyringRow,
  generations: readonly (GenerationHistory & { materialsLeft?: number })[],
): Keyring {
  return create(KeyringSchema, {
    name: row.name,
    createdAt: timestampFromDate(row.createdAt),
    createdBy: row.createdBy,
    generations: generations.map((generation) => ({
      generation: generation.generation,
      createdAt: timestampFromDate(generation.createdAt),
      ...(generation.endedAt === undefined ? {} : { endedAt: timestampFromDate(generation.endedAt) }),
      ...(generation.destroyedAt === undefined
        ? {}
        : { destroyedAt: timestampFromDate(generation.destroyedAt) }),
      materialsLeft: BigInt(generation.materialsLeft ?? 0),
    })),
  });
}

export function keyMessage(row: KeyRow, holds: readonly HoldRow[] = []): Key {
  return create(KeySchema, {
    name: fullName(row),
    id: row.id,
    purpose: row.purpose,
    algorithm: row.algorithm,
    protection: row.protection,
    exportable: row.exportable,
    state: row.state,
    currentVersion: row.currentVersion,
    owner: row.owner,
    createdAt: timestampFromDate(row.createdAt),
    ...(row.destroyAt === null ? {} : { destroyAt: timestampFromDate(row.destroyAt) }),
    destroyAfterDays: row.destroyAfterDays,
    rotationPeriodSeconds: BigInt(row.rotationPeriodSeconds),
    holds: holds.map(holdMessage),
  });
}

export function holdMessage(row: HoldRow): Hold {
  return create(HoldSchema, {
    id: row.id,
    holder: row.holder,
    reason: row.reason,
    placedAt: timestampFromDate(row.placedAt),
  });
}

export function versionMessage(row: VersionRow, key: KeyRow, uses?: UsesRow): KeyVersion {
  return create(KeyVersionSchema, {
    version: row.version,
    state: row.state,
    createdAt: timestampFromDate(row.createdAt),
    current: row.version === key.currentVersion,
    usesReserved: BigInt(uses?.reserved ?? 0),
    usesMax: BigInt(uses?.usesMax ?? 0),
  });
}

/** Of a grant, with who made it and when. */
export function bindingMessage(
  row: AccessBinding & Partial<Pick<BindingRow, "createdBy" | "createdAt">>,
): Binding {
  return create(BindingSchema, {
    id: row.id,
    role: row.role,
    identity: row.identity,
    resource: row.resource,
    condition: row.condition,
    ...(row.createdBy === undefined ? {} : { createdBy: row.createdBy }),
    ...(row.createdAt === undefined ? {} : { createdAt: timestampFromDate(row.createdAt) }),
  });
}
