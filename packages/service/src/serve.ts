import { TrustKeeper } from "@claviger/client";
import type { TlsIdentity } from "@claviger/identity";
import {
  type AuditedWork,
  type Authorize,
  type ClaimApproval,
  MutualTlsServerCredentials,
  type Registration,
  type RpcServer,
  startRpcServer,
} from "@claviger/rpc";
import type { Lifetime } from "./lifetime.ts";
import { describeError, type Logger, limitedWarnings } from "./logger.ts";
import type { CommonSettings } from "./settings.ts";
import { type DependencyProbe, statusService } from "./status.ts";
import { version } from "./version.ts";

/** For calls under way; a stream that its caller keeps open is cut off then. Well within what a supervisor grants. */
const stopGraceMilliseconds = 1000;

export interface ServeOptions<Unit> {
  service: string;
  settings: CommonSettings;
  identity: TlsIdentity;
  logger: Logger;
  lifetime: Lifetime;
  authorize: Authorize;
  claimApproval?: ClaimApproval;
  auditedWork: AuditedWork<Unit>;
  registrations: readonly Registration<Unit>[];
  probes: readonly DependencyProbe[];
}

/**
 * Opens the service's listener: its RPC services, status, health and reflection; and keeps its trust
 * and certificate current in the background.
 */
export async function serve<Unit>(options: ServeOptions<Unit>): Promise<RpcServer> {
  const { identity, lifetime, logger, probes, service, settings } = options;
  const startedAt = new Date();
  const server = await startRpcServer<Unit>({
    service,
    trustDomain: settings.trustDomain,
    listen: settings.listen,
    credentials: new MutualTlsServerCredentials(identity),
    callers: "certificate",
    now: () => new Date(),
    authorize: options.authorize,
    claimApproval: options.claimApproval,
    auditedWork: options.auditedWork,
    onInternalError: internalErrorLogger(logger),
    registrations: [
      ...options.registrations,
      statusService({ service, version, startedAt, identity, probes }),
    ],
  });
  lifetime.onStop("server", () => server.stop(stopGraceMilliseconds));
  const keeper = new TrustKeeper({
    identity,
    trustDomain: settings.trustDomain,
    distributionAddress: settings.distributionAddress,
    onProgress: (what) => logger.info(what),
    onTrouble: limitedWarnings(logger),
  });
  keeper.start();
  lifetime.onStop("trust", () => keeper[Symbol.asyncDispose]());
  logger.info("serving", { address: settings.listen });
  return server;
}

export function internalErrorLogger(logger: Logger) {
  return (traceId: string, method: string, error: unknown): void =>
    logger.error("internal error", { traceId, method, error: describeError(error) });
}
