import type { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import type { RowService } from "@claviger/proto/rotation/v1/rows_pb.ts";
import type { Policy } from "@claviger/rpc";

const named = (request: { name: string }): string => request.name;

export const rotationPolicy: Policy<typeof RotationService> = {
  listRotationPolicies: { callers: "anyone", permission: "rotation.get" },
  planRotation: { callers: "anyone", permission: "rotation.get", resource: named },
  getRotationStatus: { callers: "anyone", permission: "rotation.get", resource: named },
};

export const subscriptionPolicy: Policy<typeof SubscriptionService> = {
  subscribe: { callers: "anyone", permission: "rotation.subscribe", resource: named },
  // Ending one's own subscription needs no right.
  unsubscribe: { callers: "anyone", resource: named },
  listSubscribers: { callers: "anyone", permission: "rotation.get", resource: named },
  // The caller's own subscriptions alone; each event is decided about when it is sent.
  watchRotations: { callers: "anyone", resource: named },
  acknowledgeRotation: { callers: "anyone", permission: "rotation.subscribe", resource: named },
};

export const rowPolicy: Policy<typeof RowService> = {
  checkRows: { callers: "anyone", permission: "audit.read" },
};
