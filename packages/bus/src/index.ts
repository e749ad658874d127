import type { PeerCertificate } from "node:tls";
import { DomainError } from "@claviger/domain-error";
import { serviceIdentity, type TlsIdentity } from "@claviger/identity";
import { type JetStreamClient, type JsMsg, jetstream } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";

export interface BusOptions {
  url: string;
  /** Names the connection and its inbox, to which the bus restricts it. */
  service: string;
  trustDomain: string;
  identity: TlsIdentity;
  /** Called when events may have been missed: whatever was cached must be read again. */
  onGap?: () => void;
  onTrouble?: (what: string) => void;
}

export interface BusMessage {
  subject: string;
  data: Uint8Array;
}

export interface Bus extends AsyncDisposable {
  /** Resolves once the bus has stored the message. The same id is stored once. @throws DomainError `unavailable` */
  publish(subject: string, data: Uint8Array, id: string): Promise<void>;
  /** To whoever listens now, without an acknowledgement. */
  broadcast(subject: string, data: Uint8Array): void;
  /** Hears what is published from now on. Survives reconnections; `onGap` tells of each. */
  subscribe(pattern: string, handle: (message: BusMessage) => void): void;
  /** Takes batches from a durable consumer; acknowledged when `handle` resolves, offered again when it throws. */
  consume(options: ConsumeOptions): void;
  /** The server's version while connected. */
  status(): { connected: boolean; version: string };
}

export interface ConsumeOptions {
  stream: string;
  consumer: string;
  batchMax: number;
  handle: (messages: BusMessage[]) => Promise<void>;
}

const publishTimeoutMilliseconds = 5000;
const batchWaitMilliseconds = 5;
const retryDelayMilliseconds = 1000;

/** Connects in the background and for ever: a service starts and serves while the bus is away. */
export function openBus(options: BusOptions): Bus {
  return new NatsBus(options);
}

class NatsBus implements Bus {
  readonly #options: BusOptions;
  readonly #subscriptions: { pattern: string; handle: (message: BusMessage) => void }[] = [];
  readonly #closing = new AbortController();
  readonly #ready: Promise<void>;
  #connection: NatsConnection | undefined;
  #jetstream: JetStreamClient | undefined;
  #connected = false;

  constructor(options: BusOptions) {
    this.#options = options;
    this.#ready = this.#connect();
  }

  async #connect(): Promise<void> {
    const { identity, service, trustDomain, url } = this.#options;
    while (!this.#closing.signal.aborted) {
      try {
        this.#connection = await connect({
          servers: url,
          name: `claviger-${service}`,
          inboxPrefix: `_INBOX_${service}`,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 250,
          timeout: 3000,
          pingInterval: 5000,
          tls: busTls(identity, trustDomain),
        });
        this.#jetstream = jetstream(this.#connection);
        this.#connected = true;
        for (const subscription of this.#subscriptions) this.#listen(subscription);
        this.#options.onGap?.();
        void this.#followStatus(this.#connection);
        return;
      } catch (error) {
        this.#options.onTrouble?.(`the bus cannot be reached: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, retryDelayMilliseconds / 4));
      }
    }
  }

  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") {
        this.#connected = false;
        this.#options.onTrouble?.("the connection to the bus was lost");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#options.onGap?.();
      } else if (status.type === "error") {
        this.#options.onTrouble?.(`the bus refused something: ${status.error.message}`);
      }
    }
  }

  async publish(subject: string, data: Uint8Array, id: string): Promise<void> {
    if (this.#jetstream === undefined || !this.#connected) throw unavailable();
    try {
      await this.#jetstream.publish(subject, data, { msgID: id, timeout: publishTimeoutMilliseconds });
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  broadcast(subject: string, data: Uint8Array): void {
    if (this.#connected) this.#connection?.publish(subject, data);
  }

  subscribe(pattern: string, handle: (message: BusMessage) => void): void {
    const subscription = { pattern, handle };
    this.#subscriptions.push(subscription);
    if (this.#connection !== undefined) this.#listen(subscription);
  }

  #listen({ pattern, handle }: { pattern: string; handle: (message: BusMessage) => void }): void {
    this.#connection?.subscribe(pattern, {
      callback: (error, message) => {
        if (error !== null) this.#options.onTrouble?.(`cannot listen to ${pattern}: ${error.message}`);
        else handle({ subject: message.subject, data: message.data });
      },
    });
  }

  consume(options: ConsumeOptions): void {
    void this.#consumeForEver(options);
  }

  async #consumeForEver(options: ConsumeOptions): Promise<void> {
    await this.#ready;
    while (!this.#closing.signal.aborted) {
      try {
        const consumer = await this.#jetstream!.consumers.get(options.stream, options.consumer);
        const messages = await consumer.consume({ max_messages: options.batchMax });
        this.#closing.signal.addEventListener("abort", () => messages.stop(), { once: true });
        await this.#takeBatches(messages, options);
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#options.onTrouble?.(`cannot consume ${options.stream}: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, retryDelayMilliseconds));
      }
    }
  }

  /** Collects what arrives within a few milliseconds, so that one write carries many records. */
  async #takeBatches(messages: AsyncIterable<JsMsg>, options: ConsumeOptions): Promise<void> {
    let batch: JsMsg[] = [];
    let working: Promise<void> = Promise.resolve();
    const flush = (): void => {
      const taken = batch;
      batch = [];
      if (taken.length === 0) return;
      working = working.then(async () => {
        try {
          await options.handle(taken.map((message) => ({ subject: message.subject, data: message.data })));
          for (const message of taken) message.ack();
        } catch (error) {
          this.#options.onTrouble?.(`a batch of ${options.stream} failed: ${(error as Error).message}`);
          for (const message of taken) message.nak(retryDelayMilliseconds);
        }
      });
    };
    for await (const message of messages) {
      batch.push(message);
      if (batch.length === 1) setTimeout(flush, batchWaitMilliseconds);
      if (batch.length >= options.batchMax) flush();
    }
    flush();
    await working;
  }

  status(): { connected: boolean; version: string } {
    return { connected: this.#connected, version: this.#connection?.info?.version ?? "" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#connected = false;
    await this.#connection?.close();
  }
}

/** Read anew at each connection, so that a renewed certificate is used; the bus is known by its SPIFFE URI. */
function busTls(identity: TlsIdentity, trustDomain: string) {
  const expected = `URI:${serviceIdentity(trustDomain, "nats").uri}`;
  return {
    get cert() {
      return identity.material.certificateChain;
    },
    get key() {
      return identity.material.key;
    },
    get ca() {
      return identity.material.trustBundle;
    },
    minVersion: "TLSv1.3" as const,
    checkServerIdentity: (_host: string, peer: PeerCertificate) =>
      (peer.subjectaltname ?? "").split(", ").includes(expected)
        ? undefined
        : new Error(`what answers on the bus's address is not ${expected}`),
  };
}

function unavailable(cause?: unknown): DomainError {
  return new DomainError("unavailable", "the event bus did not take a message", { cause });
}
