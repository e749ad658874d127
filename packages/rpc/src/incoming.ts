import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import {
  type AuthenticationStrength,
  type Identity,
  identityFromSubjectAltName,
  readStrength,
  type TlsSession,
} from "@claviger/identity";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { traceIdFrom } from "./context.ts";
import { asDomainError, toServiceError } from "./errors.ts";
import type { IncomingCall } from "./pipeline.ts";

export type RawUnaryCall = ServerUnaryCall<Buffer, Uint8Array>;
export type RawStreamCall = ServerWritableStream<Buffer, Uint8Array>;
export type RawDuplexCall = ServerDuplexStream<Buffer, Uint8Array>;
type RawCall = RawUnaryCall | RawStreamCall | RawDuplexCall;

export interface Listener {
  callers: "certificate" | "anonymous";
  trustDomain: string;
}

/** What the pipeline wants to know of a call. `request` is in the call, but for a stream of them. */
export function incoming(
  call: RawCall,
  method: DescMethod,
  listener: Listener,
  request?: { message: unknown },
): IncomingCall {
  return new Incoming(call, method, listener, request ?? (call as RawUnaryCall).request);
}

class Incoming implements IncomingCall {
  readonly method: DescMethod;
  readonly request: IncomingCall["request"];
  readonly traceId: string;
  readonly authenticate: IncomingCall["authenticate"];
  readonly #call: RawCall;
  #abort: AbortController | undefined;

  constructor(call: RawCall, method: DescMethod, listener: Listener, request: IncomingCall["request"]) {
    this.#call = call;
    this.method = method;
    this.request = request;
    this.traceId = traceIdFrom(call.metadata.get("traceparent")[0]?.toString());
    this.authenticate = authenticator(call, listener);
  }

  /** Made when somebody looks: few do, and it costs more than the rest of this. */
  get signal(): AbortSignal {
    this.#abort ??= abortWith(this.#call);
    return this.#abort.signal;
  }
}

function abortWith(call: RawCall): AbortController {
  const abort = new AbortController();
  if (call.cancelled) abort.abort();
  else (call as RawUnaryCall).on("cancelled", () => abort.abort());
  return abort;
}

/** Looks again at each call: what a connection was let in with may have run out since. */
export function authenticator(
  call: RawCall,
  { callers, trustDomain }: Listener,
): IncomingCall["authenticate"] {
  if (callers === "anonymous") return () => ({ identity: anonymous(trustDomain), certificateSerial: "" });
  return () => {
    const peer = peerOf(call, trustDomain);
    // The handshake checked the dates once; a connection may outlive its certificate.
    if (peer.validTo < Date.now()) {
      throw new DomainError(
        "unauthenticated",
        "the client certificate has expired since the connection was made",
      );
    }
    return peer;
  };
}

interface Peer {
  identity: Identity;
  certificateSerial: string;
  certificate: Uint8Array;
  authentication: AuthenticationStrength;
  /** Milliseconds since the epoch. */
  validTo: number;
}

/** A connection's certificate never changes (TLS 1.3 has no renegotiation), and reading it costs 70 µs. */
const peers = new WeakMap<object, Peer>();

function peerOf(call: RawCall, trustDomain: string): Peer {
  const session = sessionOf(call);
  const known = session && peers.get(session);
  if (known !== undefined) return known;
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate?.raw === undefined) {
    throw new DomainError("unauthenticated", "no client certificate was presented");
  }
  const peer: Peer = {
    identity: identityFromSubjectAltName(certificate.subjectaltname, trustDomain),
    certificateSerial: certificate.serialNumber.toLowerCase(),
    certificate: certificate.raw,
    authentication: readStrength(certificate.raw, socketOf(session)),
    validTo: Date.parse(certificate.valid_to),
  };
  if (session !== undefined) peers.set(session, peer);
  return peer;
}

/** grpc-js 1.14 keeps the HTTP/2 session inside; where it is not found, the certificate is read each time. */
function sessionOf(call: RawCall): object | undefined {
  const inner = (call as { call?: { stream?: { session?: unknown } } }).call;
  const session = inner?.stream?.session;
  return typeof session === "object" && session !== null ? session : undefined;
}

function socketOf(session: object | undefined): TlsSession | undefined {
  const socket = (session as { socket?: Partial<TlsSession> } | undefined)?.socket;
  return typeof socket?.getSession === "function" ? (socket as TlsSession) : undefined;
}

/** On the enrolment listener alone. */
function anonymous(trustDomain: string): Identity {
  return { uri: "", trustDomain, kind: "workload", name: "" };
}

export function encode(method: DescMethod, answer: unknown): Uint8Array {
  return toBinary(method.output, create(method.output, answer as MessageInitShape<typeof method.output>));
}

/** Ends a stream with an error's status. `destroy` would end it with none: the caller would wait for ever. */
export function refuse(call: RawStreamCall | RawDuplexCall, error: unknown): void {
  call.emit("error", toServiceError(asDomainError(error)));
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
