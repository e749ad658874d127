import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const chunkBytes = 16 * 1024 * 1024;

/**
 * How often each pattern lies in a process's readable memory. Patterns that cross a chunk are found too.
 * Reading another process's memory takes root, or the same user.
 */
export function countInMemory(pid: number, patterns: readonly Buffer[]): number[] {
  const counts = patterns.map(() => 0);
  const longest = Math.max(...patterns.map(({ length }) => length));
  const memory = openOrNothing(`/proc/${pid}/mem`);
  if (memory === undefined) return counts;
  const buffer = Buffer.alloc(chunkBytes + longest);
  try {
    for (const { end, start } of readableRegions(pid)) {
      for (let at = start; at < end; at += chunkBytes) {
        const wanted = Math.min(chunkBytes + longest - 1, end - at);
        const read = readMemory(memory, buffer, wanted, at);
        const seen = buffer.subarray(0, read);
        patterns.forEach((pattern, index) => {
          counts[index]! += occurrences(seen, pattern, chunkBytes);
        });
      }
    }
  } finally {
    buffer.fill(0);
    closeSync(memory);
  }
  return counts;
}

function openOrNothing(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined; // The process has ended.
  }
}

function readMemory(memory: number, buffer: Buffer, length: number, at: number): number {
  try {
    return readSync(memory, buffer, 0, length, at);
  } catch {
    return 0; // Gone meanwhile, or not readable after all.
  }
}

/** Those that begin before `before`: the rest is the next chunk's. */
function occurrences(bytes: Buffer, pattern: Buffer, before: number): number {
  let count = 0;
  for (let at = bytes.indexOf(pattern); at >= 0 && at < before; at = bytes.indexOf(pattern, at + 1))
    count += 1;
  return count;
}

function readableRegions(pid: number): { start: number; end: number }[] {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .filter((line) => / r/.test(line) && !/\[(vvar|vsyscall|vdso)/.test(line))
    .map((line) => {
      const [start = "0", end = "0"] = line.split(" ")[0]!.split("-");
      return { start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) };
    });
}
