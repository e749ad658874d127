import type { Sample, Side } from "./measure.ts";
import { type WorkloadName, workloadNames, workloads } from "./workloads.ts";

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export interface Row {
  workload: WorkloadName;
  title: string;
  claviger: Record<Measure, Spread>;
  peer: Record<Measure, Spread> | undefined;
  /** Claviger ÷ peer, operations per CPU-second, round by round. */
  ratio: Spread | undefined;
}

const measures = [
  "operationsPerProcessSecond",
  "operationsPerProcessSecondInWindow",
  "operationsPerSecond",
  "latencyMillisecondsP50",
  "latencyMillisecondsP99",
  "serverProcessors",
  "loadProcessors",
] as const;
type Measure = (typeof measures)[number];

export function summarise(samples: readonly Sample[]): Row[] {
  const measured = new Set(samples.map(({ workload }) => workload));
  return workloadNames
    .filter((workload) => measured.has(workload))
    .map((workload) => {
      const of = (side: Side) =>
        samples.filter((sample) => sample.workload === workload && sample.side === side);
      const [ours, theirs] = [of("claviger"), of("peer")];
      const ratios = ours.flatMap((sample) => {
        const other = theirs.find(({ round }) => round === sample.round);
        return other === undefined
          ? []
          : [sample.operationsPerProcessSecond / other.operationsPerProcessSecond];
      });
      return {
        workload,
        title: workloads[workload].title,
        claviger: spreads(ours),
        peer: theirs.length === 0 ? undefined : spreads(theirs),
        ratio: ratios.length === 0 ? undefined : spreadOf(ratios),
      };
    });
}

function spreads(samples: readonly Sample[]): Record<Measure, Spread> {
  const entries = measures.map((measure) => [measure, spreadOf(samples.map((sample) => sample[measure]))]);
  return Object.fromEntries(entries) as Record<Measure, Spread>;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** For people: medians, and in brackets the least and the greatest. */
export function tableText(rows: readonly Row[]): string {
  const head = [
    "",
    "ours / CPU-s",
    "min–max",
    "bare / CPU-s",
    "min–max",
    "ratio",
    "min–max",
    "ours / s",
    "bare / s",
    "ours p50 p99 ms",
    "bare p50 p99 ms",
  ];
  const lines = rows.map(({ title, claviger, peer, ratio }) => [
    title,
    count(claviger.operationsPerProcessSecond.median),
    range(claviger.operationsPerProcessSecond, count),
    peer === undefined ? "–" : count(peer.operationsPerProcessSecond.median),
    peer === undefined ? "–" : range(peer.operationsPerProcessSecond, count),
    ratio === undefined ? "–" : ratio.median.toFixed(2),
    ratio === undefined ? "–" : range(ratio, (value) => value.toFixed(2)),
    count(claviger.operationsPerSecond.median),
    peer === undefined ? "–" : count(peer.operationsPerSecond.median),
    latency(claviger),
    peer === undefined ? "–" : latency(peer),
  ]);
  const cells = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function range({ min, max }: Spread, text: (value: number) => string): string {
  return `${text(min)}–${text(max)}`;
}

function latency({ latencyMillisecondsP50, latencyMillisecondsP99 }: Record<Measure, Spread>): string {
  if (Number.isNaN(latencyMillisecondsP50.median)) return "–";
  return `${latencyMillisecondsP50.median.toFixed(1)} ${latencyMillisecondsP99.median.toFixed(1)}`;
}
