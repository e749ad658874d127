// Runs a floor in a process of its own: takes LoopRequest messages one at a time, answers with a LoopAnswer.
import type { LoopAnswer, LoopRequest, LoopResult } from "./load-protocol.ts";
import { type Loop, loops } from "./loops.ts";
import { processTimeSeconds } from "./process-time.ts";

process.on("disconnect", () => process.exit());
// Ctrl-C reaches the whole group; the benchmark decides when this ends.
process.on("SIGINT", () => undefined);
const open = new Map<string, Loop>();
process.on("message", (request: LoopRequest | "close") => {
  const work = request === "close" ? close() : run(request);
  work
    .then((result): LoopAnswer => ({ ok: true, result }))
    .catch((error: unknown): LoopAnswer => ({ ok: false, message: (error as Error).message }))
    .then((answer) => process.send?.(answer));
});

async function run({ seconds, surroundings, warmUpSeconds, workload }: LoopRequest): Promise<LoopResult> {
  const loop = open.get(workload) ?? (await loops[workload]!(surroundings));
  open.set(workload, loop);
  await turn(loop, warmUpSeconds);
  const [began, processBegan] = [performance.now(), processTimeSeconds(process.pid)];
  const rounds = await turn(loop, seconds);
  return {
    operations: rounds * loop.operations,
    wallSeconds: (performance.now() - began) / 1000,
    processTimeSeconds: processTimeSeconds(process.pid) - processBegan,
  };
}

/** As often as it goes in that time. @returns how often */
async function turn(loop: Loop, seconds: number): Promise<number> {
  const ends = performance.now() + seconds * 1000;
  let rounds = 0;
  const keepOn = async (): Promise<void> => {
    while (performance.now() < ends) {
      const work = loop.once();
      if (work instanceof Promise) await work;
      rounds += 1;
    }
  };
  await Promise.all(Array.from({ length: loop.atATime }, keepOn));
  return rounds;
}

async function close(): Promise<LoopResult> {
  for (const loop of open.values()) await loop[Symbol.asyncDispose]();
  open.clear();
  return { operations: 0, wallSeconds: 0, processTimeSeconds: 0 };
}
