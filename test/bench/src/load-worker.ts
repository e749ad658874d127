// The load: a process of its own, so that it does not share a thread with what it measures.
// It takes LoadRequest messages one at a time and answers each with a LoadAnswer.

import { Transport } from "@claviger/client";
import { TlsIdentity } from "@claviger/identity";
import { type Client, Metadata } from "@grpc/grpc-js";
import type { LoadAnswer, LoadRequest, LoadResult } from "./load-protocol.ts";
import { processTimeSeconds } from "./process-time.ts";
import { type Workload, workloads } from "./workloads.ts";

const callMilliseconds = 15_000;

process.on("disconnect", () => process.exit());
// Ctrl-C reaches the whole group; the benchmark decides when this ends.
process.on("SIGINT", () => undefined);
process.on("message", (request: LoadRequest) => {
  run(request)
    .then((result): LoadAnswer => ({ ok: true, result }))
    .catch((error: unknown): LoadAnswer => ({ ok: false, message: (error as Error).message }))
    .then((answer) => process.send?.(answer));
});

async function run(request: LoadRequest): Promise<LoadResult> {
  const { connections, target } = request;
  const workload = workloads[request.workload];
  const identity = TlsIdentity.load(target.identityDirectory);
  const transports = Array.from(
    { length: connections },
    () => new Transport({ address: target.address, identity, serverIdentity: target.serverIdentity }),
  );
  try {
    for (const { client } of transports) workload.check(await oneCall(client, workload));
    return await measure(request, workload, transports);
  } finally {
    for (const transport of transports) transport[Symbol.dispose]();
  }
}

async function measure(
  request: LoadRequest,
  workload: Workload,
  transports: Transport[],
): Promise<LoadResult> {
  const latencies: number[] = [];
  let counting = false;
  let running = true;
  const loops = Array.from({ length: workload.callsInFlight }, async (_, at) => {
    const { client } = transports[at % transports.length]!;
    while (running) {
      const began = performance.now();
      await oneCall(client, workload);
      if (counting) latencies.push(performance.now() - began);
    }
  });
  const failed = Promise.all(loops);
  const pass = (seconds: number) => Promise.race([elapse(seconds), failed]);
  try {
    await pass(request.warmUpSeconds);
    counting = true;
    const began = stamp(request.target.pid);
    await pass(request.seconds);
    const ended = stamp(request.target.pid);
    counting = false;
    const wallSeconds = (ended.milliseconds - began.milliseconds) / 1000;
    latencies.sort((a, b) => a - b);
    return {
      windowMicroseconds: { from: began.monotonicMicroseconds, to: ended.monotonicMicroseconds },
      operations: latencies.length * workload.operationsPerCall,
      wallSeconds,
      processTimeAtBeginningSeconds: began.server,
      processTimeSeconds: ended.server - began.server,
      latencyMillisecondsP50: quantile(latencies, 0.5),
      latencyMillisecondsP99: quantile(latencies, 0.99),
      loadProcessors: (ended.own - began.own) / 1e6 / wallSeconds,
    };
  } finally {
    running = false;
    await failed.catch(() => undefined);
  }
}

function stamp(pid: number) {
  const { system, user } = process.cpuUsage();
  const monotonicMicroseconds = Number(process.hrtime.bigint() / 1000n);
  return {
    milliseconds: performance.now(),
    monotonicMicroseconds,
    server: processTimeSeconds(pid),
    own: user + system,
  };
}

const requests = new Map<Workload, Buffer>();

/** Requests are encoded once and answers stay bytes: the load's own cost is not what is measured. */
function oneCall(client: Client, workload: Workload): Promise<Uint8Array> {
  const request = requests.get(workload) ?? Buffer.from(workload.request(workload.key));
  requests.set(workload, request);
  const { method } = workload;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request,
      new Metadata(),
      { deadline: Date.now() + callMilliseconds },
      (error, answer) => {
        if (error !== null) reject(error);
        else resolve(answer as Buffer);
      },
    );
  });
}

function elapse(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function quantile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
