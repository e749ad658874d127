import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { RolloutSchema, SubscriptionSchema } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import type { RolloutProgress, RolloutRow } from "../store/rollouts.ts";
import type { SubscriptionRow } from "../store/subscriptions.ts";

export function rolloutMessage(row: RolloutRow, progress: readonly RolloutProgress[]) {
  return create(RolloutSchema, {
    name: row.keyName,
    version: row.version,
    rotatedAt: timestampFromDate(row.rotatedAt),
    state: progress.every(({ acknowledgedAt }) => acknowledgedAt !== null) ? "complete" : "waiting",
    subscribers: progress.map(({ acknowledgedAt, identity }) => ({
      identity,
      ...(acknowledgedAt === null ? {} : { acknowledgedAt: timestampFromDate(acknowledgedAt) }),
    })),
  });
}

export function subscriptionMessage(row: SubscriptionRow) {
  return create(SubscriptionSchema, {
    identity: row.identity,
    name: row.keyName,
    createdAt: timestampFromDate(row.createdAt),
  });
}

/** The CloudEvent that a subscriber receives: the same id however often it is sent. */
export function rotatedEvent(row: RolloutRow): string {
  return JSON.stringify({
    specversion: "1.0",
    id: row.eventId,
    source: "/claviger/rotation",
    type: "claviger.key.rotated.v1",
    subject: row.keyName,
    time: row.rotatedAt.toISOString(),
    datacontenttype: "application/json",
    data: { keyId: row.keyId, version: row.version, previousVersion: row.version - 1 },
  });
}
