import {
  create,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import { type Identity, identityFromSubjectAltName } from "@claviger/identity";
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { type CallContext, traceIdFrom } from "./context.ts";
import { asDomainError, toServiceError } from "./errors.ts";
import { type IncomingCall, type PipelineOptions, passPipeline } from "./pipeline.ts";
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
  readonly unit?: Unit;
}

export function register<S extends DescService, Unit>(
  service: S,
  policy: Policy<S>,
  handlers: Handlers<S, Unit>,
): Registration<Unit> {
  return {
    service,
    policy: policy as Registration<Unit>["policy"],
    handlers: handlers as Registration<Unit>["handlers"],
  };
}

export interface AdapterOptions<Unit> extends PipelineOptions<Unit> {
  trustDomain: string;
  callers: "certificate" | "anonymous";
}

type RawUnaryCall = ServerUnaryCall<Buffer, Uint8Array>;
type RawStreamCall = ServerWritableStream<Buffer, Uint8Array>;

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
      requestStream: false,
      responseStream: method.methodKind === "server_streaming",
      requestSerialize: asBuffer,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: asBuffer,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    const row = registration.policy[name]!;
    const handler = registration.handlers[name]!;
    implementation[name] =
      method.methodKind === "server_streaming"
        ? streamHandler(method, row, handler, options)
        : unaryHandler(method, row, handler, options);
  }
  return { definition: definition as ServiceDefinition, implementation };
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
      async (request, context) => ({ request, context: { ...context, unit: undefined } }),
    );
    admitted
      .then(({ request, context }) => writeAll(call, method, handler(request, context)))
      .catch((error: unknown) => call.destroy(toServiceError(asDomainError(error))));
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

function encode(method: DescMethod, answer: unknown): Uint8Array {
  return toBinary(method.output, create(method.output, answer as MessageInitShape<typeof method.output>));
}

function incoming(
  call: RawUnaryCall | RawStreamCall,
  method: DescMethod,
  { callers, trustDomain }: { callers: "certificate" | "anonymous"; trustDomain: string },
): IncomingCall {
  const abort = new AbortController();
  call.on("cancelled", () => abort.abort());
  return {
    method,
    requestBytes: call.request,
    traceId: traceIdFrom(call.metadata.get("traceparent")[0]?.toString()),
    signal: abort.signal,
    authenticate: () =>
      callers === "anonymous"
        ? { identity: anonymous(trustDomain), certificateSerial: "" }
        : authenticate(call, trustDomain),
  };
}

function authenticate(
  call: RawUnaryCall | RawStreamCall,
  trustDomain: string,
): ReturnType<IncomingCall["authenticate"]> {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate?.raw === undefined) {
    throw new DomainError("unauthenticated", "no client certificate was presented");
  }
  // The handshake checked the dates once; a connection may outlive its certificate.
  if (Date.parse(certificate.valid_to) < Date.now()) {
    throw new DomainError(
      "unauthenticated",
      "the client certificate has expired since the connection was made",
    );
  }
  return {
    identity: identityFromSubjectAltName(certificate.subjectaltname, trustDomain),
    certificateSerial: certificate.serialNumber.toLowerCase(),
  };
}

/** On the enrolment listener alone. */
function anonymous(trustDomain: string): Identity {
  return { uri: "", trustDomain, kind: "workload", name: "" };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
