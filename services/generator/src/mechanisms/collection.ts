import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * A KeyObject's bytes are cleared when the collector frees it, and to the collector it is small: alone it
 * may lie there for hours. So a collection is asked for when keys were let go of, once for all of them.
 */

const delayMilliseconds = 3000;

type Collect = (options: { type: "major"; execution: "async" }) => Promise<void>;
let collect: Collect | undefined;
let asked = false;

export function requestCollection(): void {
  if (asked) return;
  asked = true;
  setTimeout(() => {
    asked = false;
    void collector()({ type: "major", execution: "async" });
  }, delayMilliseconds).unref();
}

function collector(): Collect {
  if (collect !== undefined) return collect;
  setFlagsFromString("--expose-gc");
  collect = runInNewContext("gc") as Collect;
  return collect;
}
