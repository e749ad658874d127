export type { CallContext } from "./context.ts";
export { asDomainError, statusOfKind, toServiceError } from "./errors.ts";
export { type Handlers, type Registration, register, type StreamHandler } from "./grpc-adapter.ts";
export { pageSize, pageToken, readNumberToken, readPageToken } from "./pages.ts";
export type { AuditedWork, Authorize, ClaimApproval, PipelineOptions } from "./pipeline.ts";
export type { Callers, Policy, PolicyRow } from "./policy.ts";
export { type RpcServer, type RpcServerOptions, startRpcServer } from "./server.ts";
export { MutualTlsServerCredentials, ServerOnlyTlsCredentials } from "./server-credentials.ts";
