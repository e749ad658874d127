import type { DecideAccess } from "@claviger/access";
import type { Database, Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { insertEvent } from "@claviger/outbox";
import type { SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { type CallContext, type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { checkKeyName, checkOptionalKeyName } from "../key-names.ts";
import type { OpenRegistry } from "../registry.ts";
import type { RolloutSignal } from "../rollout-signal.ts";
import { insertAcknowledgement } from "../store/acknowledgements.ts";
import { findRollout, pendingFor, progressOf, type RolloutRow } from "../store/rollouts.ts";
import {
  countSubscriptions,
  deleteSubscription,
  findSubscription,
  listSubscriptions,
  saveSubscription,
} from "../store/subscriptions.ts";
import { rolloutMessage, rotatedEvent, subscriptionMessage } from "./messages.ts";

export interface SubscriptionOptions {
  database: Database;
  open: OpenRegistry;
  decide: DecideAccess;
  signal: RolloutSignal;
  now: () => Date;
}

/** A watcher looks again this often, should a wake-up get lost. */
const lookAgainMilliseconds = 2000;
const watchersMax = 5000;
const subscriptionsMax = 10_000;

export function subscriptionHandlers(
  options: SubscriptionOptions,
): Handlers<typeof SubscriptionService, Transaction> {
  const { now, open } = options;
  let watchers = 0;
  return {
    async subscribe({ name }, context) {
      const row = { identity: context.caller.uri, keyName: checkKeyName(name), createdAt: now() };
      if ((await countSubscriptions(open(context.unit), row.identity)) >= subscriptionsMax) {
        throw new DomainError("exhausted", `an identity subscribes to at most ${subscriptionsMax} keys`, {
          hint: "end one first: claviger rotation unsubscribe KEYRING/KEY",
        });
      }
      return { subscription: subscriptionMessage(await saveSubscription(open(context.unit), row)) };
    },
    async unsubscribe({ name }, context) {
      if (!(await deleteSubscription(open(context.unit), context.caller.uri, checkKeyName(name)))) {
        throw new DomainError("not-found", `this identity is not subscribed to ${name}`);
      }
      return {};
    },
    async listSubscribers(request, { unit }) {
      const limit = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken);
      const rows = await listSubscriptions(open(unit), {
        keyName: checkOptionalKeyName(request.name),
        after,
        limit,
      });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        subscribers: rows.map(subscriptionMessage),
        nextPageToken: pageToken(last && `${last.keyName} ${last.identity}`),
      };
    },
    async *watchRotations({ name }, context) {
      checkOptionalKeyName(name);
      if (watchers >= watchersMax) {
        throw new DomainError("exhausted", "this replica serves as many watchers as it may", {
          hint: "try again later",
        });
      }
      watchers += 1;
      try {
        yield* watch(options, name, context);
      } finally {
        watchers -= 1;
      }
    },
    async acknowledgeRotation({ name, version }, context) {
      return { rollout: await acknowledge(options, name, version, context) };
    },
  };
}

async function* watch(options: SubscriptionOptions, name: string, context: CallContext<undefined>) {
  const sent = new Set<string>();
  while (!context.signal.aborted) {
    const pending = await options.database.transaction((tx) =>
      pendingFor(options.open(tx), context.caller.uri, name),
    );
    const waiting = new Set(pending.map(({ eventId }) => eventId));
    // What has been acknowledged is never offered again: no need to remember that it was sent.
    for (const eventId of sent) if (!waiting.has(eventId)) sent.delete(eventId);
    for (const row of pending.filter(({ eventId }) => !sent.has(eventId))) {
      await requireStillAllowed(options.decide, row, context);
      sent.add(row.eventId);
      yield { cloudEvent: rotatedEvent(row), name: row.keyName, version: row.version };
    }
    await options.signal.wait(lookAgainMilliseconds, context.signal);
  }
}

/** A stream outlives decisions: each event is decided about when it is sent. */
async function requireStillAllowed(
  decide: DecideAccess,
  row: RolloutRow,
  { caller, certificateSerial }: CallContext<undefined>,
): Promise<void> {
  const permission = "rotation.subscribe";
  const answer = await decide({ identity: caller.uri, certificateSerial, permission, resource: row.keyName });
  if (!answer.allowed) throw new DomainError("denied", answer.reason);
}

async function acknowledge(
  { now, open }: SubscriptionOptions,
  name: string,
  version: number,
  { caller, note, unit }: CallContext<Transaction>,
) {
  const registry = open(unit);
  const rollout = await findRollout(registry, checkKeyName(name), version);
  if (rollout === undefined) {
    throw new DomainError("not-found", `no rotation of ${name} to version ${version} is known`, {
      hint: "claviger rotation status shows the roll-outs of a key",
    });
  }
  if ((await findSubscription(registry, caller.uri, name)) === undefined) {
    throw new DomainError("failed-precondition", `this identity is not subscribed to ${name}`, {
      hint: "subscribe first: claviger rotation subscribe KEYRING/KEY",
    });
  }
  await insertAcknowledgement(registry, {
    identity: caller.uri,
    keyName: name,
    version,
    acknowledgedAt: now(),
  });
  note({ version });
  const progress = await progressOf(registry, rollout);
  if (progress.every(({ acknowledgedAt }) => acknowledgedAt !== null)) {
    await insertEvent(unit, "rotation", {
      type: "rollout.completed",
      subject: name,
      time: now(),
      data: { keyId: rollout.keyId, version },
    });
  }
  return rolloutMessage(rollout, progress);
}
