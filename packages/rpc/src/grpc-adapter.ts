import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServiceDefinition,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { type CombinedMethods, operationBatch } from "./combined.ts";
import type { CallContext } from "./context.ts";
import { asDomainError, toServiceError } from "./errors.ts";
import { asBuffer, encode, incoming, type RawStreamCall, refuse } from "./incoming.ts";
import { operationStream } from "./operation-stream.ts";
import { type PipelineOptions, passPipeline } from "./pipeline.ts";
import type { Policy, PolicyRow } from "./policy.ts";

/** A stream's handler is let in by the pipeline, audited, and then runs outside any transaction. */
export type StreamHandler<Request, Response> = (
  request: Request,
  context: CallContext<undefined>,
) => AsyncIterable<Response>;

export type Handlers<S extends DescService, Unit> = {
  readonly [M in keyof S["method"]]: S["method"][M] extends DescMethodServerStreaming<infer I, infer O>
    ? StreamHandler<MessageShape<I>, MessageInitShape<O>>
    : S["method"][M] extends DescMethodUnary<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext<Unit>) => Promise<MessageInitShape<O>>
      : never;
};

/** A service with its policy and handlers, ready for an adapter. */
export interface Registration<Unit> {
  service: DescService;
  // biome-ignore lint/suspicious/noExplicitAny: typed by register()
  policy: Record<string, PolicyRow<any>>;
  // biome-ignore lint/suspicious/noExplicitAny: typed by register()
  handlers: Record<string, (request: any, context: CallContext<any>) => any>;
  /** The methods that carry operations of the service's other methods, if it has such. */
  combined?: CombinedMethods;
  readonly unit?: Unit;
}

/**
 * `Batch` and `Stream` carry any of the service's unary methods inside of one message. They have rows
 * as every method, and no handlers: each operation is decided
 * about and recorded as a call of its method, those on one resource that came together at once. For services
 * without transactions: an operation's failure is its own.
 */
export function register<
  S extends DescService,
  Unit,
  Batch extends keyof S["method"] & string = never,
  Stream extends keyof S["method"] & string = never,
>(
  service: S,
  policy: Policy<S>,
  handlers: Omit<Handlers<S, Unit>, Batch | Stream>,
  combined?: Unit extends undefined ? { batch: Batch; stream: Stream } : never,
): Registration<Unit> {
  return {
    service,
    policy: policy as Registration<Unit>["policy"],
    handlers: handlers as unknown as Registration<Unit>["handlers"],
    ...(combined && { combined }),
  };
}

export interface AdapterOptions<Unit> extends PipelineOptions<Unit> {
  trustDomain: string;
  callers: "certificate" | "anonymous";
}

/** The grpc-js form of a registration. Messages stay bytes until the pipeline has let the caller in. */
export function toGrpc<Unit>(
  registration: Registration<Unit>,
  options: AdapterOptions<Unit>,
): { definition: ServiceDefinition; implementation: Record<string, UntypedHandleCall> } {
  const definition: Record<string, unknown> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const method of registration.service.methods) {
    const name = method.localName;
    definition[name] = {
      path: `/${registration.service.typeName}/${method.name}`,
      requestStream: method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: asBuffer,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: asBuffer,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    implementation[name] = implement(registration, method, options);
  }
  return { definition: definition as ServiceDefinition, implementation };
}

function implement<Unit>(
  registration: Registration<Unit>,
  method: DescMethod,
  options: AdapterOptions<Unit>,
): UntypedHandleCall {
  const name = method.localName;
  const { combined } = registration;
  // `register` takes combined methods of services without transactions alone.
  const single = registration as Registration<undefined>;
  const singleOptions = options as AdapterOptions<undefined>;
  const row = registration.policy[name]!;
  if (name === combined?.stream) return operationStream(single, method, singleOptions);
  if (name === combined?.batch) {
    return unaryHandler(method, row, operationBatch(single, singleOptions), options);
  }
  const handler = registration.handlers[name]!;
  return method.methodKind === "server_streaming"
    ? streamHandler(method, row, handler, options)
    : unaryHandler(method, row, handler, options);
}

// biome-ignore lint/suspicious/noExplicitAny: typed by register()
type AnyHandler = (request: any, context: CallContext<any>) => any;

function unaryHandler<Unit>(
  method: DescMethod,
  row: PolicyRow<unknown>,
  handler: AnyHandler,
  options: AdapterOptions<Unit>,
): handleUnaryCall<Buffer, Uint8Array> {
  return (call, callback) => {
    passPipeline(options, incoming(call, method, options), row, handler)
      .then((answer) => callback(null, encode(method, answer)))
      .catch((error: unknown) => callback(toServiceError(asDomainError(error))));
  };
}

function streamHandler<Unit>(
  method: DescMethod,
  row: PolicyRow<unknown>,
  handler: AnyHandler,
  options: AdapterOptions<Unit>,
): handleServerStreamingCall<Buffer, Uint8Array> {
  return (call) => {
    const admitted = passPipeline(
      options,
      incoming(call, method, options),
      row,
      async (request, context) => ({ request, context: context.withoutUnit() }),
    );
    admitted
      .then(({ request, context }) => writeAll(call, method, handler(request, context)))
      .catch((error: unknown) => refuse(call, error));
  };
}

async function writeAll(
  call: RawStreamCall,
  method: DescMethod,
  messages: AsyncIterable<unknown>,
): Promise<void> {
  for await (const message of messages) {
    if (call.cancelled) return;
    if (!call.write(encode(method, message))) {
      await new Promise((resolve) => {
        call.once("drain", resolve);
        call.once("close", resolve);
      });
    }
  }
  call.end();
}
