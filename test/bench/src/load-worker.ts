// The load: a process of its own, so that it does not share a thread with what it measures.
// It takes LoadRequest messages one at a time and answers each with a LoadAnswer.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Transport } from "@claviger/client";
import { TlsIdentity } from "@claviger/identity";
import { type Client, Metadata } from "@grpc/grpc-js";
import type { LoadAnswer, LoadRequest, LoadResult } from "./load-protocol.ts";
import { processTimeSeconds } from "./process-time.ts";
import { streamItems, type Workload, workloads } from "./workloads.ts";

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
    const callers = transports.map(({ client }) =>
      workload.streamed ? streamCaller(client, workload) : unaryCaller(client, workload),
    );
    for (const call of callers) workload.check(await call());
    return await measure(request, workload, callers);
  } finally {
    for (const transport of transports) transport[Symbol.dispose]();
  }
}

async function measure(request: LoadRequest, workload: Workload, callers: Caller[]): Promise<LoadResult> {
  const latencies: number[] = [];
  let counting = false;
  let running = true;
  const loops = Array.from({ length: workload.callsInFlight }, async (_, at) => {
    const call = callers[at % callers.length]!;
    while (running) {
      const began = performance.now();
      await call();
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

/** One call, whose answer stays bytes: the load's own cost is not what is measured. */
type Caller = () => Promise<Uint8Array>;

const constants = new Map<Workload, Buffer>();
let calls = Date.now();

function nextRequest(workload: Workload): Buffer {
  const known = constants.get(workload);
  if (known !== undefined) return known;
  calls += 1;
  const request = Buffer.from(workload.request(workload.key, calls));
  if (workload.constant) constants.set(workload, request);
  return request;
}

const asIs = (bytes: Buffer): Buffer => bytes;
const pathOf = ({ method }: Workload): string => `/${method.parent.typeName}/${method.name}`;

function unaryCaller(client: Client, workload: Workload): Caller {
  return () =>
    new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + callMilliseconds };
      client.makeUnaryRequest(
        pathOf(workload),
        asIs,
        asIs,
        nextRequest(workload),
        new Metadata(),
        options,
        (error, answer) => {
          if (error !== null) reject(error);
          else resolve(answer as Buffer);
        },
      );
    });
}

/** Packs what is ready together, as the client does. Which answer is whose is all the same here. */
function streamCaller(client: Client, workload: Workload): Caller {
  const waiting: { resolve: (answer: Uint8Array) => void; reject: (error: Error) => void }[] = [];
  const stream = client.makeBidiStreamRequest(pathOf(workload), asIs, asIs, new Metadata());
  stream.on("data", (answer: Buffer) => {
    for (const { resolve } of waiting.splice(0, countOf(answer))) resolve(answer);
  });
  stream.on("error", (error: Error) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  });
  const ready: Buffer[] = [];
  const send = (): void => {
    while (ready.length > 0) stream.write(Buffer.concat(ready.splice(0, streamItems)));
  };
  return () =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      if (ready.length === 0) setImmediate(send);
      ready.push(nextRequest(workload));
    });
}

/** How many results a UseResponse has, without decoding them. */
function countOf(answer: Uint8Array): number {
  const reader = new BinaryReader(answer);
  let count = 0;
  for (; reader.pos < reader.len; count += 1) {
    const [number, wireType] = reader.tag();
    reader.skip(wireType, number);
  }
  return count;
}

function elapse(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function quantile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
