import type { BareLoops, Load } from "./child.ts";
import type { LoadRequest, Target } from "./load-protocol.ts";
import type { LoopSurroundings } from "./loops.ts";
import { processTimeSeconds, untilQuiet } from "./process-time.ts";
import { type WorkloadName, workloads } from "./workloads.ts";

const connections = 4;
const warmUpSeconds = 0.5;
const quietMillisecondsMax = 8000;
/** Before anything is counted each path runs this long, for the compiler's sake: it takes thousands of calls. */
const discardedSeconds = 8;

export type Side = "claviger" | "peer";

export interface Sample {
  workload: WorkloadName;
  side: Side;
  round: number;
  /** With what the server does after the last answer: shipping its audit records. The headline. */
  operationsPerProcessSecond: number;
  /** Of the counted window alone. */
  operationsPerProcessSecondInWindow: number;
  operationsPerSecond: number;
  latencyMillisecondsP50: number;
  latencyMillisecondsP99: number;
  serverProcessors: number;
  loadProcessors: number;
  /** False: background work went on past the time that it was given, and is not counted. */
  finished: boolean;
}

export interface MeasureOptions {
  load: Load;
  loops: BareLoops;
  surroundings: LoopSurroundings;
  targets: Readonly<Record<Side, Target>>;
  /** The paths to measure, in this order. */
  only: readonly WorkloadName[];
  rounds: number;
  seconds: number;
  signal: AbortSignal;
  onProgress: (what: string) => void;
}

/** Each workload on one side and then on the other, round after round: slow drifts of the machine hit both. */
export async function measureAll(options: MeasureOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  options.onProgress("warming up");
  for (let round = 0; round <= options.rounds; round += 1) {
    for (const workload of options.only) {
      for (const side of ["claviger", "peer"] as const) {
        const bare = side === "peer" && workloads[workload].peer === "loop";
        const sample = await (bare
          ? measureLoop(options, workload, round)
          : measureServer(options, workload, side, round));
        if (round === 0) continue;
        samples.push(sample);
        const rate = Math.round(sample.operationsPerProcessSecond).toLocaleString("en");
        options.onProgress(`round ${round} of ${options.rounds}: ${workload}, ${side}: ${rate} / CPU-s`);
      }
    }
  }
  return samples;
}

async function measureServer(
  options: MeasureOptions,
  workload: WorkloadName,
  side: Side,
  round: number,
): Promise<Sample> {
  const target = options.targets[side];
  const seconds = secondsOf(options, workload, round);
  const request = { workload, target, connections, warmUpSeconds, seconds };
  const beforeAll = processTimeSeconds(target.pid);
  const result = await options.load.run(request, options.signal);
  const finished = await untilQuiet(target.pid, quietMillisecondsMax);
  const total = processTimeSeconds(target.pid) - beforeAll;
  // Warm-up and the calls that were under way at the end are in the total, and leave their share of it.
  const inWindow = result.operations / result.processTimeSeconds;
  const warmUp = result.processTimeAtBeginningSeconds - beforeAll;
  const after = total - warmUp - result.processTimeSeconds;
  const windowsShare = result.processTimeSeconds / (result.processTimeSeconds + warmUp);
  return {
    workload,
    side,
    round,
    operationsPerProcessSecond: result.operations / (result.processTimeSeconds + after * windowsShare),
    operationsPerProcessSecondInWindow: inWindow,
    operationsPerSecond: result.operations / result.wallSeconds,
    latencyMillisecondsP50: result.latencyMillisecondsP50,
    latencyMillisecondsP99: result.latencyMillisecondsP99,
    serverProcessors: result.processTimeSeconds / result.wallSeconds,
    loadProcessors: result.loadProcessors,
    finished,
  };
}

/** While the load drives the bare server: a machine that does nothing besides would flatter the loop. */
async function measureLoop(options: MeasureOptions, workload: WorkloadName, round: number): Promise<Sample> {
  const { surroundings } = options;
  const seconds = Math.min(secondsOf(options, workload, round), options.seconds);
  const request = { workload, warmUpSeconds, seconds, surroundings };
  const company: LoadRequest = {
    workload: "encrypt",
    target: options.targets.peer,
    connections,
    warmUpSeconds,
    seconds,
  };
  const [result] = await Promise.all([
    options.loops.run(request, options.signal),
    options.load.run(company, options.signal),
  ]);
  const perProcessSecond = result.operations / result.processTimeSeconds;
  return {
    workload,
    side: "peer",
    round,
    operationsPerProcessSecond: perProcessSecond,
    operationsPerProcessSecondInWindow: perProcessSecond,
    operationsPerSecond: result.operations / result.wallSeconds,
    latencyMillisecondsP50: Number.NaN,
    latencyMillisecondsP99: Number.NaN,
    serverProcessors: result.processTimeSeconds / result.wallSeconds,
    loadProcessors: 0,
    finished: true,
  };
}

function secondsOf({ seconds }: MeasureOptions, workload: WorkloadName, round: number): number {
  return round === 0 ? discardedSeconds : seconds * workloads[workload].share;
}
