import { randomUUID } from "node:crypto";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { DomainError } from "@claviger/domain-error";
import type { ServiceError } from "@grpc/grpc-js";
import { asBuffer, type CallOptions, metadataFor, pathOf } from "./call.ts";
import { duplexCall } from "./duplex-call.ts";
import { errorFromStatus, explainUnavailable } from "./errors.ts";
import type { Transport } from "./transport.ts";

type UnaryCall<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

type StreamCall<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;

type DuplexCall<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>> | Iterable<MessageInitShape<I>>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;

/** One function a method, typed by the service's descriptor. */
export type Client<S extends DescService> = {
  [M in keyof S["method"]]: S["method"][M]["methodKind"] extends "server_streaming"
    ? StreamCall<S["method"][M]["input"], S["method"][M]["output"]>
    : S["method"][M]["methodKind"] extends "bidi_streaming"
      ? DuplexCall<S["method"][M]["input"], S["method"][M]["output"]>
      : UnaryCall<S["method"][M]["input"], S["method"][M]["output"]>;
};

const deadlineMillisecondsDefault = 15_000;
const attemptsMax = 5;
const firstBackoffMilliseconds = 100;
const backoffMillisecondsMax = 1000;

/**
 * A typed client of `service`. A call that cannot be delivered is repeated, with the same
 * `request_id` and within its deadline, where the contract says that a repeat is safe
 * (`idempotency_level`), and nowhere else.
 */
export function createServiceClient<S extends DescService>(
  service: S,
  transport: Transport,
  defaults: { deadlineMilliseconds?: number } = {},
): Client<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) {
    client[method.localName] = callOf(method, transport, defaults);
  }
  return client as Client<S>;
}

function callOf(
  method: DescMethod,
  transport: Transport,
  defaults: CallOptions,
): (request: object, options?: CallOptions) => unknown {
  if (method.methodKind === "server_streaming") {
    return (request, options = {}) => streamCall(method, transport, request, options);
  }
  if (method.methodKind === "bidi_streaming") {
    return (requests, options = {}) =>
      duplexCall(method, transport, encodeEach(method, requests as Iterable<object>), options);
  }
  return (request, options = {}) => unaryCall(method, transport, request, { ...defaults, ...options });
}

async function unaryCall(
  method: DescMethod,
  transport: Transport,
  request: object,
  options: CallOptions,
): Promise<object> {
  const message = encode(method, request);
  const deadline = Date.now() + (options.deadlineMilliseconds ?? deadlineMillisecondsDefault);
  const repeatable =
    method.idempotency !== undefined &&
    method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
  let earlier: DomainError | undefined;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptUnary(method, transport, message, deadline, options);
    } catch (error) {
      const failure = errorFromStatus(error as ServiceError, transport);
      // Why it was repeated says more than that the time for repeating ran out.
      if (failure.kind === "deadline-exceeded" && earlier !== undefined) throw earlier;
      earlier = failure;
      const pause = Math.min(firstBackoffMilliseconds * 3 ** (attempt - 1), backoffMillisecondsMax);
      const backoff = pause * (0.75 + Math.random() / 2);
      const worthwhile = repeatable && failure.kind === "unavailable" && attempt < attemptsMax;
      if (!worthwhile || options.signal?.aborted || Date.now() + backoff >= deadline) {
        throw await explainUnavailable(failure, transport);
      }
      await new Promise((resolve) => setTimeout(resolve, backoff));
    }
  }
}

function encode(method: DescMethod, request: object): Uint8Array {
  const message = create(
    method.input,
    request as MessageInitShape<DescMessage>,
  ) as MessageShape<DescMessage> & {
    requestId?: string;
  };
  if (message.requestId === "") message.requestId = randomUUID();
  return toBinary(method.input, message);
}

async function* encodeEach(
  method: DescMethod,
  requests: AsyncIterable<object> | Iterable<object>,
): AsyncGenerator<Uint8Array> {
  for await (const request of requests) {
    yield encode(method, request);
  }
}

function attemptUnary(
  method: DescMethod,
  transport: Transport,
  message: Uint8Array,
  deadline: number,
  options: CallOptions,
): Promise<object> {
  return new Promise((resolve, reject) => {
    const call = transport.client.makeUnaryRequest(
      pathOf(method),
      (bytes: Uint8Array) => asBuffer(bytes),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      message,
      metadataFor(options),
      { deadline },
      (error, response) => {
        options.signal?.removeEventListener("abort", cancel);
        if (error !== null) reject(error);
        else if (response === undefined) reject(new DomainError("internal", "an answer without a message"));
        else resolve(response);
      },
    );
    const cancel = (): void => call.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
  });
}

async function* streamCall(
  method: DescMethod,
  transport: Transport,
  request: object,
  options: CallOptions,
): AsyncGenerator<object> {
  const call = transport.client.makeServerStreamRequest(
    pathOf(method),
    (bytes: Uint8Array) => asBuffer(bytes),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    encode(method, request),
    metadataFor(options),
    options.deadlineMilliseconds === undefined ? {} : { deadline: Date.now() + options.deadlineMilliseconds },
  );
  const cancel = (): void => call.cancel();
  options.signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const message of call) yield message as object;
  } catch (error) {
    if (options.signal?.aborted) return;
    throw await explainUnavailable(errorFromStatus(error as ServiceError, transport), transport);
  } finally {
    options.signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}
