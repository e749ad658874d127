import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { TlsIdentity } from "@claviger/identity";
import { StatusService } from "@claviger/proto/status/v1/status_pb.ts";
import { type Registration, register } from "@claviger/rpc";

export interface DependencyStatus {
  name: string;
  state: "ok" | "degraded" | "unavailable";
  version: string;
  detail: string;
}

/** Asks a part how it is; a failure to answer is an answer. */
export type DependencyProbe = () => Promise<DependencyStatus>;

export function statusService<Unit>(options: {
  service: string;
  version: string;
  startedAt: Date;
  identity: TlsIdentity;
  probes: readonly DependencyProbe[];
}): Registration<Unit> {
  return register<typeof StatusService, Unit>(
    StatusService,
    { getStatus: { callers: "anyone", permission: "system.status" } },
    {
      async getStatus() {
        const dependencies = await Promise.all(options.probes.map((probe) => probe()));
        return {
          service: options.service,
          version: options.version,
          startedAt: timestampFromDate(options.startedAt),
          certificateSerial: options.identity.serial,
          certificateNotAfter: timestampFromDate(new Date(options.identity.leaf.validTo)),
          certificateIssuer: options.identity.trustsBootstrap ? "bootstrap" : "claviger",
          dependencies,
        };
      },
    },
  );
}

const probeMilliseconds = 2000;

export function probe(
  name: string,
  ask: () => Promise<{ version: string; detail?: string }>,
): DependencyProbe {
  return async () => {
    try {
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error("no answer in time")), probeMilliseconds).unref();
      });
      const { version, detail = "" } = await Promise.race([ask(), late]);
      return { name, state: detail === "" ? "ok" : "degraded", version, detail };
    } catch (error) {
      return { name, state: "unavailable", version: "", detail: (error as Error).message };
    }
  };
}
