import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { hashRequest, once } from "@claviger/idempotency";
import type { AuthenticationStrength } from "@claviger/identity";
import {
  type PostureService,
  RaiseFloorRequestSchema,
  RaiseFloorResponseSchema,
  type AuthenticationStrength as StrengthMessage,
} from "@claviger/proto/storage/v1/posture_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { freshFloors } from "../freshness.ts";
import { raiseFloor, removeFloor, standingOf } from "../posture.ts";
import type { Registry } from "../registry.ts";
import type { FloorRow } from "../store/floors.ts";
import { listStrengths, type StrengthRow } from "../store/identity-strengths.ts";
import { momentOf } from "./moments.ts";

const textCharactersMax = 64;
const numberMax = 10_000_000;

export function postureHandlers(
  open: (tx: Transaction) => Registry,
): Handlers<typeof PostureService, Transaction> {
  return {
    async listPosture(request, { unit }) {
      const registry = open(unit);
      const limit = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken);
      const rows = await listStrengths(unit, registry.columns, after, limit);
      const standing = await standingOf(registry);
      const identities = rows.map((row) => postureMessage(row, standing(row)));
      return {
        identities: identities.filter(({ below }) => !request.below || below.length > 0),
        floors: after === "" ? (await freshFloors(registry)).map(floorMessage) : [],
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.place),
      };
    },
    async raiseFloor(request, { authentication, caller, note, unit }) {
      const registry = open(unit);
      const hashed = {
        caller: caller.uri,
        requestId: request.requestId,
        requestHash: hashRequest(RaiseFloorRequestSchema, request),
      };
      const { response } = await once(registry, hashed, RaiseFloorResponseSchema, async () => {
        const row = await raiseFloor(registry, {
          by: caller,
          requirements: request.requirements,
          effectiveAt: momentOf(request.effectiveAt, registry.now),
          strength: authentication,
        });
        return create(RaiseFloorResponseSchema, { floor: floorMessage(row) });
      });
      note({ requirements: response.floor?.requirements ?? "", floor: response.floor?.id ?? "" });
      return response;
    },
    async removeFloor({ id }, { note, unit }) {
      const row = await removeFloor(open(unit), id);
      note({ floor: id, requirements: row.requirements });
      return {};
    },
  };
}

/** As services send it. */
export function strengthOf(message: StrengthMessage): AuthenticationStrength {
  const cut = (text: string): string => text.slice(0, textCharactersMax);
  return {
    keyType: cut(message.keyType),
    keyBits: Math.min(message.keyBits, numberMax),
    signatureAlgorithm: cut(message.signatureAlgorithm),
    lifetimeHours: Math.min(message.lifetimeHours, numberMax),
    tlsVersion: cut(message.tlsVersion),
    keyExchange: cut(message.keyExchange),
  };
}

function floorMessage({ createdAt, effectiveAt, ...row }: FloorRow) {
  return { ...row, createdAt: timestampFromDate(createdAt), effectiveAt: timestampFromDate(effectiveAt) };
}

function postureMessage(
  { firstSeenAt, identity, lastSeenAt, ...row }: StrengthRow & { place: string },
  { below, refusedFrom }: { below: string[]; refusedFrom: Date | undefined },
) {
  const { place: _, ...strength } = row;
  return {
    identity,
    strength,
    below,
    firstSeenAt: timestampFromDate(firstSeenAt),
    lastSeenAt: timestampFromDate(lastSeenAt),
    ...(refusedFrom === undefined ? {} : { refusedFrom: timestampFromDate(refusedFrom) }),
  };
}
