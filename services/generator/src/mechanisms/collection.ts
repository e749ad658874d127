import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * A KeyObject's bytes are cleared when the collector frees it, and to the collector it is small: alone it
 * may lie there for hours. So when keys were let go of, a collection is seen to, once for all of them. Under
 * load one comes by itself; only otherwise it is forced, since that throws away optimized code too (measured:
 * a sixth of the throughput, when it was forced every few seconds).
 */

const lookMilliseconds = 500;
const patienceMilliseconds = 4000;
/** A loop that works for more of its time than this will collect by itself, before long. */
const busyShare = 0.2;
const patienceUnderLoadMilliseconds = 30_000;

type Collect = (options: { type: "major"; execution: "async" | "sync" }) => Promise<void>;
let collect: Collect | undefined;
let asked = false;

export function requestCollection(): void {
  if (asked) return;
  asked = true;
  void seeToCollection();
}

async function seeToCollection(): Promise<void> {
  const began = performance.now();
  const loop = performance.eventLoopUtilization();
  // What is let go of after this has a collection of its own seen to.
  await sleep(lookMilliseconds, undefined, { ref: false });
  asked = false;
  // The first may have been under way already, and have passed the keys while they were in use.
  for (let collections = 0; collections < 2; collections += 1) {
    const canary = new WeakRef({});
    while (canary.deref() !== undefined) {
      const busy = performance.eventLoopUtilization(loop).utilization > busyShare;
      const patience = busy ? patienceUnderLoadMilliseconds : patienceMilliseconds;
      if (performance.now() - began >= patience) return collector()({ type: "major", execution: "async" });
      await sleep(lookMilliseconds, undefined, { ref: false });
    }
  }
}

/** Before the process ends: what was let go of is cleared when this returns. */
export function collectNow(): void {
  collector()({ type: "major", execution: "sync" });
}

function collector(): Collect {
  if (collect !== undefined) return collect;
  setFlagsFromString("--expose-gc");
  collect = runInNewContext("gc") as Collect;
  return collect;
}
