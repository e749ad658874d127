import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  ChangeKeyStateRequestSchema,
  ChangeKeyStateResponseSchema,
  DestroyKeyRequestSchema,
  DestroyKeyResponseSchema,
  type KeyService,
  PlaceHoldRequestSchema,
  PlaceHoldResponseSchema,
  ReleaseHoldRequestSchema,
  ReleaseHoldResponseSchema,
  RestoreKeyRequestSchema,
  RestoreKeyResponseSchema,
  SetRotationPeriodRequestSchema,
  SetRotationPeriodResponseSchema,
} from "@claviger/proto/storage/v1/key_pb.ts";
import {
  type CallContext,
  type Handlers,
  pageSize,
  pageToken,
  readNumberToken,
  readPageToken,
} from "@claviger/rpc";
import { requireReach } from "../access.ts";
import { checkRotationPeriod } from "../key-creation.ts";
import { changeState, requireAlive, restore, scheduleDestruction } from "../key-lifecycle.ts";
import { generationHistory } from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import { fullName, publish, type Registry, requireKey } from "../registry.ts";
import { deleteHold, insertHold, listHolds } from "../store/holds.ts";
import { findKeyring, listKeyrings } from "../store/keyrings.ts";
import { type KeyRow, listKeys, listVersions, updateKey } from "../store/keys.ts";
import { countMaterial } from "../store/superseded-material.ts";
import { listUses } from "../store/uses.ts";
import { holdMessage, keyMessage, keyringMessage, versionMessage } from "./messages.ts";

type OpenRegistry = (tx: Transaction) => Registry;
type Context = CallContext<Transaction>;

const reasonCharactersMax = 200;

export function keyHandlers(open: OpenRegistry): Handlers<typeof KeyService, Transaction> {
  return { ...readers(open), ...changers(open), ...holds(open) };
}

type KeyHandlers = Handlers<typeof KeyService, Transaction>;

function readers(
  open: OpenRegistry,
): Pick<KeyHandlers, "listKeyrings" | "getKeyring" | "listKeys" | "getKey" | "listKeyVersions"> {
  return {
    async listKeyrings(request, { caller, unit }) {
      const registry = open(unit);
      const { sealer } = registry;
      const reach = await requireReach(registry, caller, "keyrings.get", "");
      const limit = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken);
      const rows = await listKeyrings(unit, sealer, { reach, after, limit });
      const keyrings = [];
      for (const row of rows) keyrings.push(keyringMessage(row, await generationHistory(registry, row.name)));
      return { keyrings, nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.name) };
    },
    async getKeyring(request, { unit }) {
      const registry = open(unit);
      const row = await findKeyring(unit, registry.sealer, checkKeyringName(request.name));
      if (row === undefined) throw new DomainError("not-found", `there is no keyring ${request.name}`);
      const generations = await generationHistory(registry, row.name);
      const progress = [];
      for (const [at, one] of generations.entries()) {
        const underWay = at < generations.length - 1 && one.endedAt === undefined;
        const materialsLeft = underWay ? await countMaterial(unit, row.name, one.generation) : 0;
        progress.push({ ...one, materialsLeft });
      }
      return { keyring: keyringMessage(row, progress) };
    },
    async listKeys(request, { caller, unit }) {
      const registry = open(unit);
      const within = request.keyring === "" ? "" : checkKeyringName(request.keyring);
      const reach = await requireReach(registry, caller, "keys.get", within);
      const limit = pageSize(request.pageSize);
      const [keyring = "", key = ""] = readPageToken(request.pageToken).split("/");
      const rows = await listKeys(unit, registry.sealer, {
        reach,
        keyring: within,
        after: { keyring, key },
        limit,
      });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        keys: rows.map((row) => keyMessage(row)),
        nextPageToken: pageToken(last === undefined ? undefined : fullName(last)),
      };
    },
    async getKey(request, { unit }) {
      const registry = open(unit);
      const key = await requireKey(registry, request.name);
      return { key: keyMessage(key, await listHolds(unit, registry.sealer, key.id)) };
    },
    async listKeyVersions(request, { unit }) {
      const registry = open(unit);
      const key = await requireKey(registry, request.name);
      const limit = pageSize(request.pageSize);
      const after = readNumberToken(request.pageToken);
      const rows = await listVersions(unit, registry.sealer, key.id, after, limit);
      const numbers = rows.map(({ version }) => version);
      const uses = await listUses(unit, registry.sealer, key.id, numbers);
      const usesOf = new Map(uses.map((row) => [row.version, row]));
      return {
        versions: rows.map((row) => versionMessage(row, key, usesOf.get(row.version))),
        nextPageToken: pageToken(rows.length < limit ? undefined : String(rows.at(-1)?.version)),
      };
    },
  };
}

function changers(
  open: OpenRegistry,
): Pick<KeyHandlers, "changeKeyState" | "destroyKey" | "restoreKey" | "setRotationPeriod"> {
  const change = async (
    context: Context,
    name: string,
    how: (registry: Registry, key: KeyRow) => Promise<KeyRow>,
  ): Promise<ReturnType<typeof keyMessage>> => {
    const registry = open(context.unit);
    const changed = await how(registry, await requireKey(registry, name, "lock"));
    context.note({ keyId: changed.id, state: changed.state });
    return keyMessage(changed, await listHolds(context.unit, registry.sealer, changed.id));
  };
  return {
    async changeKeyState(request, context) {
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(ChangeKeyStateRequestSchema, request)),
        ChangeKeyStateResponseSchema,
        async () =>
          create(ChangeKeyStateResponseSchema, {
            key: await change(context, request.name, (registry, key) => changeState(registry, key, request)),
          }),
      );
      context.note({ version: request.version, target: request.state, reason: request.reason });
      return response;
    },
    async destroyKey(request, context) {
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(DestroyKeyRequestSchema, request)),
        DestroyKeyResponseSchema,
        async () =>
          create(DestroyKeyResponseSchema, { key: await change(context, request.name, scheduleDestruction) }),
      );
      return response;
    },
    async restoreKey(request, context) {
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(RestoreKeyRequestSchema, request)),
        RestoreKeyResponseSchema,
        async () => create(RestoreKeyResponseSchema, { key: await change(context, request.name, restore) }),
      );
      return response;
    },
    async setRotationPeriod(request, context) {
      const rotationPeriodSeconds = checkRotationPeriod(Number(request.rotationPeriodSeconds));
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(SetRotationPeriodRequestSchema, request)),
        SetRotationPeriodResponseSchema,
        async () =>
          create(SetRotationPeriodResponseSchema, {
            key: await change(context, request.name, async (registry, key) => {
              requireAlive(key);
              const next = { ...key, rotationPeriodSeconds };
              await updateKey(registry.tx, registry.sealer, next);
              await publish(registry, "key.configured", fullName(key), {
                keyId: key.id,
                rotationPeriodSeconds,
              });
              return next;
            }),
          }),
      );
      context.note({ rotationPeriodSeconds });
      return response;
    },
  };
}

function holds(open: OpenRegistry): Pick<KeyHandlers, "placeHold" | "releaseHold"> {
  return {
    async placeHold(request, context) {
      const registry = open(context.unit);
      if (request.reason === "" || request.reason.length > reasonCharactersMax) {
        throw new DomainError(
          "invalid-argument",
          `a hold needs a reason of at most ${reasonCharactersMax} characters`,
        );
      }
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(PlaceHoldRequestSchema, request)),
        PlaceHoldResponseSchema,
        async () => {
          const key = await requireKey(registry, request.name, "lock");
          requireAlive(key);
          const row = {
            id: randomUUID(),
            keyId: key.id,
            holder: context.caller.uri,
            reason: request.reason,
            placedAt: registry.now,
          };
          await insertHold(context.unit, registry.sealer, row);
          return create(PlaceHoldResponseSchema, { hold: holdMessage(row) });
        },
      );
      return response;
    },
    async releaseHold(request, context) {
      const registry = open(context.unit);
      const { response } = await once(
        open(context.unit),
        identify(context, request.requestId, hashRequest(ReleaseHoldRequestSchema, request)),
        ReleaseHoldResponseSchema,
        async () => {
          const key = await requireKey(registry, request.name, "lock");
          const held = await listHolds(context.unit, registry.sealer, key.id);
          const hold = held.find((row) => row.id === request.holdId && row.holder === context.caller.uri);
          if (hold === undefined) {
            throw new DomainError("not-found", "there is no such hold of this caller's on this key");
          }
          await deleteHold(context.unit, registry.sealer, hold, registry.now);
          return create(ReleaseHoldResponseSchema, {});
        },
      );
      return response;
    },
  };
}

function identify(context: Context, requestId: string, requestHash: Uint8Array) {
  return { caller: context.caller.uri, requestId, requestHash };
}
