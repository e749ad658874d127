import { DomainError } from "@claviger/domain-error";
import { Server, type ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { type Registration, toGrpc } from "./grpc-adapter.ts";
import type { PipelineOptions } from "./pipeline.ts";
import { addReflection } from "./reflection.ts";

export interface RpcServerOptions<Unit> extends PipelineOptions<Unit> {
  trustDomain: string;
  /** `host:port`. */
  listen: string;
  credentials: ServerCredentials;
  registrations: readonly Registration<Unit>[];
  /**
   * `certificate` everywhere but on the enrolment listener, whose callers have none yet: there the
   * token in the request decides. Health and reflection are absent there.
   */
  callers: "certificate" | "anonymous";
}

export interface RpcServer {
  /** Health: whether the service answers. */
  setServing(serving: boolean): void;
  /** Lets calls under way end, within `graceMilliseconds`. */
  stop(graceMilliseconds: number): Promise<void>;
}

const requestBytesMax = 4 * 1024 * 1024;
/** A batch's answer is larger than its request. */
const answerBytesMax = 8 * 1024 * 1024;
const streamsPerConnectionMax = 256;
const headerBytesMax = 16 * 1024;

/** Opens a listener. @throws DomainError `unavailable` where the address is taken. */
export async function startRpcServer<Unit>(options: RpcServerOptions<Unit>): Promise<RpcServer> {
  const server = new Server({
    "grpc.max_receive_message_length": requestBytesMax,
    "grpc.max_send_message_length": answerBytesMax,
    "grpc.max_concurrent_streams": streamsPerConnectionMax,
    "grpc.max_metadata_size": headerBytesMax,
    // Nobody reads channelz here, and its counts cost every call.
    "grpc.enable_channelz": 0,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
  } as Record<string, number>);
  const health = new HealthImplementation({ "": "SERVING" });
  for (const registration of options.registrations) {
    const { definition, implementation } = toGrpc(registration, options);
    server.addService(definition, implementation);
    health.setStatus(registration.service.typeName, "SERVING");
  }
  if (options.callers === "certificate") {
    health.addToServer(server);
    addReflection(
      server,
      options.registrations.map((registration) => registration.service),
    );
  }
  await bind(server, options);
  return {
    setServing(serving) {
      health.setStatus("", serving ? "SERVING" : "NOT_SERVING");
    },
    stop: (graceMilliseconds) => stop(server, graceMilliseconds),
  };
}

function bind<Unit>(server: Server, options: RpcServerOptions<Unit>): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(options.listen, options.credentials, (error) => {
      if (error === null) resolve();
      else {
        reject(
          new DomainError("unavailable", `cannot listen on ${options.listen}: ${error.message}`, {
            hint: "another program may hold the port; CLAVIGER_BASE_PORT chooses another block",
            cause: error,
          }),
        );
      }
    });
  });
}

function stop(server: Server, graceMilliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMilliseconds);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
