import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** What `--cpu-prof` writes (Chrome DevTools protocol, Profiler.Profile). */
interface CpuProfile {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
    children?: number[];
  }[];
  /** Of the monotonic clock, in microseconds. */
  startTime: number;
  samples: number[];
  timeDeltas: number[];
}

export interface Cost {
  name: string;
  /** Relative to the clone, or Node's own name for it. */
  file: string;
  /** Of the thread's busy time. */
  selfShare: number;
  /** With everything that it called. */
  totalShare: number;
}

export interface ProfileSummary {
  busySeconds: number;
  bySelf: Cost[];
  byTotal: Cost[];
}

const idle = new Set(["(idle)", "(program)", "(root)"]);

/** The most expensive functions of one thread's profile, between two moments of the monotonic clock. */
export function summariseProfile(
  text: string,
  options: { window: { from: number; to: number }; roots: readonly string[]; limit: number },
): ProfileSummary {
  const { limit, roots, window } = options;
  const profile = JSON.parse(text) as CpuProfile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id])),
  );
  const selfOfNode = new Map<number, number>();
  let time = profile.startTime;
  for (const [at, id] of profile.samples.entries()) {
    time += profile.timeDeltas[at] ?? 0;
    if (time < window.from || time > window.to) continue;
    selfOfNode.set(id, (selfOfNode.get(id) ?? 0) + (profile.timeDeltas[at] ?? 0));
  }
  const costs = new Map<string, { name: string; file: string; self: number; total: number }>();
  let busy = 0;
  for (const [id, microseconds] of selfOfNode) {
    if (idle.has(nodes.get(id)!.callFrame.functionName)) continue;
    busy += microseconds;
    // A function that is on the stack more than once counts once.
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { functionName, url, lineNumber } = nodes.get(at)!.callFrame;
      const file = url === "" ? "native" : `${shorten(url, roots)}:${lineNumber + 1}`;
      const name = functionName === "" ? "(anonymous)" : functionName;
      const key = `${name}\n${file}`;
      const cost = costs.get(key) ?? { name, file, self: 0, total: 0 };
      costs.set(key, cost);
      if (at === id) cost.self += microseconds;
      if (!seen.has(key)) cost.total += microseconds;
      seen.add(key);
    }
  }
  const rows = [...costs.values()]
    .filter(({ name }) => !idle.has(name))
    .map(({ name, file, self, total }) => ({ name, file, selfShare: self / busy, totalShare: total / busy }));
  return {
    busySeconds: busy / 1e6,
    bySelf: rows.toSorted((a, b) => b.selfShare - a.selfShare).slice(0, limit),
    byTotal: rows.toSorted((a, b) => b.totalShare - a.totalShare).slice(0, limit),
  };
}

function shorten(url: string, roots: readonly string[]): string {
  if (!url.startsWith("file:")) return url;
  const path = fileURLToPath(url);
  const root = roots.find((candidate) => path.startsWith(candidate + sep));
  return root === undefined ? path.split(sep).slice(-3).join(sep) : relative(root, path);
}
