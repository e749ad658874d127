import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Client } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import type { RotationService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { type Handlers, pageSize, pageToken, readNumberToken, readPageToken } from "@claviger/rpc";
import { checkKeyName, checkOptionalKeyName } from "../key-names.ts";
import type { OpenRegistry } from "../registry.ts";
import { listRollouts, progressOf } from "../store/rollouts.ts";
import { findSchedule, listSchedules, type ScheduleRow } from "../store/schedules.ts";
import { listSubscriptions } from "../store/subscriptions.ts";
import { rolloutMessage } from "./messages.ts";

const subscribersShownMax = 1000;

export function rotationHandlers({
  open,
  storage,
}: {
  open: OpenRegistry;
  storage: Client<typeof KeyService>;
}): Handlers<typeof RotationService, Transaction> {
  return {
    async listRotationPolicies(request, { unit }) {
      const limit = pageSize(request.pageSize);
      const rows = await listSchedules(open(unit), readPageToken(request.pageToken), limit);
      return {
        policies: rows.map(policyMessage),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.keyName),
      };
    },
    async planRotation({ name }, { traceId, unit }) {
      const { key } = await storage.getKey({ name }, { traceId });
      const schedule = await findSchedule(open(unit), checkKeyName(name));
      const subscribers = await listSubscriptions(open(unit), {
        keyName: name,
        after: "",
        limit: subscribersShownMax,
      });
      return {
        name,
        nextVersion: (key?.currentVersion ?? 0) + 1,
        ...(schedule === undefined ? {} : { nextRotationAt: timestampFromDate(schedule.nextRotationAt) }),
        subscribers: subscribers.map(({ identity }) => identity),
      };
    },
    async getRotationStatus(request, { unit }) {
      const limit = pageSize(request.pageSize);
      const keyName = checkOptionalKeyName(request.name);
      const after =
        keyName === "" ? readPageToken(request.pageToken) : String(readNumberToken(request.pageToken) || "");
      const rows = await listRollouts(open(unit), { keyName, after, limit });
      const rollouts = [];
      for (const row of rows) rollouts.push(rolloutMessage(row, await progressOf(open(unit), row)));
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        rollouts,
        nextPageToken: pageToken(last && (request.name === "" ? last.keyName : String(last.version))),
      };
    },
  };
}

function policyMessage(row: ScheduleRow) {
  return {
    name: row.keyName,
    rotationPeriodSeconds: BigInt(row.rotationPeriodSeconds),
    lastRotatedAt: timestampFromDate(row.lastRotatedAt),
    nextRotationAt: timestampFromDate(row.nextRotationAt),
    lastError: row.lastError,
  };
}
