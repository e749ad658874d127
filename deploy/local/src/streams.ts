import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

const second = 1_000_000_000;
const day = 86_400 * second;
const mebibyte = 1024 * 1024;

type WantedStream = Partial<StreamConfig> & { name: string };
type WantedConsumer = Partial<ConsumerConfig> & { durable_name: string };

const events: WantedStream = {
  name: "EVENTS",
  subjects: ["claviger.events.>"],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  max_age: 7 * day,
  max_bytes: 512 * mebibyte,
  max_msg_size: mebibyte,
  duplicate_window: 120 * second,
  num_replicas: 1,
};

const audit: WantedStream = {
  name: "AUDIT",
  subjects: ["claviger.audit.>"],
  storage: StorageType.File,
  // A record leaves when the audit service has it in its log. Kept beyond that, the stream would fill
  // up with what is long safe, and then refuse for ever.
  retention: RetentionPolicy.Workqueue,
  discard: DiscardPolicy.New,
  max_bytes: 2048 * mebibyte,
  max_msg_size: mebibyte,
  duplicate_window: 120 * second,
  num_replicas: 1,
};

const rotationConsumer: WantedConsumer = {
  durable_name: "rotation",
  ack_policy: AckPolicy.Explicit,
  deliver_policy: DeliverPolicy.All,
  filter_subject: "claviger.events.storage.>",
  ack_wait: 30 * second,
  max_ack_pending: 1_000,
};

const auditConsumer: WantedConsumer = {
  durable_name: "audit",
  ack_policy: AckPolicy.Explicit,
  deliver_policy: DeliverPolicy.All,
  ack_wait: 30 * second,
  max_ack_pending: 10_000,
};

/** Makes the streams and their consumers, or brings existing ones to what is written above. */
export async function provisionStreams(connection: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(connection);
  await Promise.all([
    ensureStream(manager, events).then(() => ensureConsumer(manager, "EVENTS", rotationConsumer)),
    ensureStream(manager, audit).then(() => ensureConsumer(manager, "AUDIT", auditConsumer)),
  ]);
}

async function ensureStream(manager: JetStreamManager, wanted: WantedStream): Promise<void> {
  const found = await orAbsent(manager.streams.info(wanted.name), JetStreamApiCodes.StreamNotFound);
  if (found === undefined) {
    await manager.streams.add(wanted);
  } else if (differs(found.config, wanted)) {
    await manager.streams.update(wanted.name, wanted);
  }
}

async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  wanted: WantedConsumer,
): Promise<void> {
  const found = await orAbsent(
    manager.consumers.info(stream, wanted.durable_name),
    JetStreamApiCodes.ConsumerNotFound,
  );
  if (found === undefined) {
    await manager.consumers.add(stream, wanted);
  } else if (differs(found.config, wanted)) {
    await manager.consumers.update(stream, wanted.durable_name, wanted);
  }
}

async function orAbsent<Info>(asked: Promise<Info>, absent: number): Promise<Info | undefined> {
  try {
    return await asked;
  } catch (cause) {
    if (cause instanceof JetStreamApiError && cause.code === absent) return undefined;
    throw cause;
  }
}

function differs(found: object, wanted: object): boolean {
  const actual = found as Record<string, unknown>;
  return Object.entries(wanted).some(
    ([name, value]) => JSON.stringify(actual[name]) !== JSON.stringify(value),
  );
}
