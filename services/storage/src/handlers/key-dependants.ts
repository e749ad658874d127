import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  DestroyHeldKeyRequestSchema,
  DestroyHeldKeyResponseSchema,
  type KeyService,
  PlaceHoldRequestSchema,
  PlaceHoldResponseSchema,
  ReleaseHoldRequestSchema,
  ReleaseHoldResponseSchema,
} from "@claviger/proto/storage/v1/key_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { rulesFor } from "../approvals.ts";
import { holdsOf, placeHold, releaseHold } from "../holds.ts";
import { callerOf } from "../key-callers.ts";
import { requireSettledKey } from "../key-dates.ts";
import { requireAlive, scheduleDestruction } from "../key-lifecycle.ts";
import { type Registry, requireKey } from "../registry.ts";
import { listCallers } from "../store/key-callers.ts";
import { changing, identify } from "./changing.ts";
import { holdMessage } from "./messages.ts";

type OpenRegistry = (tx: Transaction) => Registry;
type DependantHandlers = Pick<
  Handlers<typeof KeyService, Transaction>,
  "placeHold" | "releaseHold" | "destroyHeldKey" | "listKeyCallers"
>;

/** What depends on a key, and who uses it. */
export function dependantHandlers(open: OpenRegistry): DependantHandlers {
  return {
    async placeHold(request, context) {
      const registry = open(context.unit);
      const { response } = await once(
        registry,
        identify(context, request.requestId, hashRequest(PlaceHoldRequestSchema, request)),
        PlaceHoldResponseSchema,
        async () => {
          const key = await requireSettledKey(registry, request.name);
          requireAlive(key);
          const hold = await placeHold(registry, key, {
            kind: request.kind,
            reason: request.reason,
            holder: request.holder,
            caller: context.caller.uri,
            expiresAt: request.expiresAt === undefined ? undefined : timestampDate(request.expiresAt),
          });
          return create(PlaceHoldResponseSchema, { hold: holdMessage(hold) });
        },
      );
      context.note({ hold: response.hold?.id ?? "", kind: response.hold?.kind ?? "" });
      return response;
    },
    async releaseHold(request, context) {
      const registry = open(context.unit);
      const { response } = await once(
        registry,
        identify(context, request.requestId, hashRequest(ReleaseHoldRequestSchema, request)),
        ReleaseHoldResponseSchema,
        async () => {
          const key = await requireSettledKey(registry, request.name);
          const { kind } = await releaseHold(registry, key, request.holdId, context.caller.uri);
          context.note({ hold: request.holdId, kind });
          return create(ReleaseHoldResponseSchema, {});
        },
      );
      return response;
    },
    async destroyHeldKey(request, context) {
      const registry = open(context.unit);
      // Where a rule covers it, the approvals were used up before this runs; without one nobody has consented.
      const rules = await rulesFor(registry, "keys.destroy-held", request.name);
      if (!rules.some(({ permission }) => permission === "keys.destroy-held")) {
        throw new DomainError(
          "failed-precondition",
          "to destroy a key although something depends on it is to be approved",
          {
            hint: `no rule says by whom: claviger approvals require keys.destroy-held --on ${request.name} --count 2 --of GROUP`,
          },
        );
      }
      const { response } = await once(
        registry,
        identify(context, request.requestId, hashRequest(DestroyHeldKeyRequestSchema, request)),
        DestroyHeldKeyResponseSchema,
        async () =>
          create(DestroyHeldKeyResponseSchema, {
            key: await changing(registry, context, request.name, async (_, key) => {
              const holds = await holdsOf(registry, key);
              context.note({ despiteHolds: holds.map(({ id, kind }) => `${kind} ${id}`).join(", ") });
              return scheduleDestruction(registry, key, { despiteHolds: true });
            }),
          }),
      );
      return response;
    },
    async listKeyCallers(request, { unit }) {
      const registry = open(unit);
      const key = await requireKey(registry, request.name);
      const limit = pageSize(request.pageSize);
      const after = readPlace(request.pageToken);
      const rows = await listCallers(unit, { keyId: key.id, version: request.version, after, limit });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        callers: rows.map(({ caller, firstUsedAt, lastUsedAt, uses, version }) => ({
          version,
          caller: callerOf(registry, caller),
          uses: BigInt(uses),
          firstUsedAt: timestampFromDate(firstUsedAt),
          lastUsedAt: timestampFromDate(lastUsedAt),
        })),
        nextPageToken: pageToken(
          last === undefined ? undefined : `${last.version} ${last.caller.toString("base64url")}`,
        ),
      };
    },
  };
}

function readPlace(token: string): { version: number; caller: Buffer } {
  const [version = "", caller = ""] = readPageToken(token).split(" ");
  const number = /^\d{1,9}$/.test(version) ? Number(version) : 0;
  return { version: number, caller: Buffer.from(caller, "base64url") };
}
