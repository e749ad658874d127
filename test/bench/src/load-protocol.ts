import type { LoopSurroundings } from "./loops.ts";
import type { WorkloadName } from "./workloads.ts";

/** Where a server listens, who it must be, and as whom to call it. */
export interface Target {
  address: string;
  /** The server process, whose CPU time is read at the window's two ends. */
  pid: number;
  serverIdentity: string;
  identityDirectory: string;
}

export interface LoadRequest {
  workload: WorkloadName;
  target: Target;
  connections: number;
  warmUpSeconds: number;
  seconds: number;
}

export interface LoadResult {
  /** The window on the monotonic clock, which a CPU profile's samples carry too. */
  windowMicroseconds: { from: number; to: number };
  /** Within the window. */
  operations: number;
  wallSeconds: number;
  /** The server's CPU time at the window's beginning, and over the window. */
  processTimeAtBeginningSeconds: number;
  processTimeSeconds: number;
  /** Of a call. */
  latencyMillisecondsP50: number;
  latencyMillisecondsP99: number;
  /** The load process's own: near 1 it is the load that limits the throughput. */
  loadProcessors: number;
}

export type LoadAnswer = { ok: true; result: LoadResult } | { ok: false; message: string };

export interface LoopRequest {
  workload: WorkloadName;
  warmUpSeconds: number;
  seconds: number;
  surroundings: LoopSurroundings;
}

export interface LoopResult {
  operations: number;
  wallSeconds: number;
  processTimeSeconds: number;
}

export type LoopAnswer = { ok: true; result: LoopResult } | { ok: false; message: string };
