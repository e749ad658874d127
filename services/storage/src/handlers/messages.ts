import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { dueMoves } from "@claviger/lifecycle";
import { type Binding, BindingSchema } from "@claviger/proto/storage/v1/access_pb.ts";
import {
  type Hold as HoldMessage,
  HoldSchema,
  type Key,
  type Keyring,
  KeyringSchema,
  KeySchema,
  type KeyVersion,
  KeyVersionSchema,
} from "@claviger/proto/storage/v1/key_pb.ts";
import type { Binding as AccessBinding } from "../access-rules.ts";
import type { Hold } from "../holds.ts";
import { datesOf, latestVersion } from "../key-dates.ts";
import { detailsOf } from "../key-details.ts";
import type { GenerationHistory } from "../keyring-generations.ts";
import { fullName, type Registry } from "../registry.ts";
import type { BindingRow } from "../store/bindings.ts";
import type { VersionUses } from "../store/key-callers.ts";
import type { VersionRow } from "../store/key-versions.ts";
import type { KeyringRow } from "../store/keyrings.ts";
import type { KeyRow } from "../store/keys.ts";
import type { UsesRow } from "../store/uses.ts";

export function keyringMessage(
  row: KeyringRow,
  generations: readonly (GenerationHistory & { materialsLeft?: number })[],
  destroyAfterDaysMin = 0,
): Keyring {
  return create(KeyringSchema, {
    destroyAfterDaysMin,
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

/** With the state that it has by now, whether or not its day was written down. */
export function keyMessage(
  { columns, now }: Pick<Registry, "columns" | "now">,
  row: KeyRow,
  holds: readonly Hold[] = [],
): Key {
  const { createdBy, description, labels, owner } = detailsOf(columns, row);
  return create(KeySchema, {
    name: fullName(row),
    id: row.id,
    purpose: row.purpose,
    algorithm: row.algorithm,
    protection: row.protection,
    exportable: row.exportable,
    ...stateParts(row, now),
    currentVersion: row.currentVersion,
    latestVersion: latestVersion(row),
    owner,
    createdBy,
    description,
    labels: { ...labels },
    createdAt: timestampFromDate(row.createdAt),
    ...optionalTime("destroyAt", row.destroyAt),
    destroyAfterDays: row.destroyAfterDays,
    rotationPeriodSeconds: BigInt(row.rotationPeriodSeconds),
    holds: holds.map(holdMessage),
  });
}

function stateParts(row: KeyRow | VersionRow, now: Date) {
  const moved = dueMoves(row.state, datesOf(row), now).at(-1);
  return {
    state: moved?.to ?? row.state,
    stateReason: moved?.reason ?? row.stateReason,
    ...optionalTime("stateChangedAt", moved?.at ?? row.stateChangedAt),
    ...optionalTime("activateAt", row.activateAt),
    ...optionalTime("expireAt", row.expireAt),
  };
}

function optionalTime<Name extends string>(
  name: Name,
  time: Date | null | undefined,
): Partial<Record<Name, Timestamp>> {
  if (time === null || time === undefined) return {};
  return { [name]: timestampFromDate(time) } as Partial<Record<Name, Timestamp>>;
}

export function holdMessage({ expiresAt, holder, id, kind, placedAt, reason }: Hold): HoldMessage {
  return create(HoldSchema, {
    id,
    holder,
    reason,
    kind,
    placedAt: timestampFromDate(placedAt),
    ...optionalTime("expiresAt", expiresAt),
  });
}

export function versionMessage(
  { now }: Pick<Registry, "now">,
  row: VersionRow,
  key: KeyRow,
  { seen, uses }: { uses?: UsesRow | undefined; seen?: VersionUses | undefined } = {},
): KeyVersion {
  return create(KeyVersionSchema, {
    version: row.version,
    ...stateParts(row, now),
    createdAt: timestampFromDate(row.createdAt),
    current: row.version === key.currentVersion,
    usesReserved: BigInt(uses?.reserved ?? 0),
    usesMax: BigInt(uses?.usesMax ?? 0),
    uses: BigInt(seen?.uses ?? 0),
    callers: seen?.callers ?? 0,
    ...optionalTime("firstUsedAt", seen?.firstUsedAt),
    ...optionalTime("lastUsedAt", seen?.lastUsedAt),
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
