import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, release } from "node:os";
import { join, relative } from "node:path";
import { backupText, measureBackup } from "./backup.ts";
import { BenchInstallation, clone, trustDomain } from "./bench-installation.ts";
import { BareLoops, BareServer, Load } from "./child.ts";
import { exchangeText, measureExchange } from "./exchange.ts";
import { measureAll } from "./measure.ts";
import { type BenchOptions, readOptions, usage } from "./options.ts";
import { makePeerIdentities } from "./peer-identity.ts";
import { type KeptProfile, profileAll } from "./profile.ts";
import { measureRegistry, registryText } from "./registry/run.ts";
import { summarise, tableText } from "./report.ts";

const profileSeconds = 4;

const options = readOptions(process.argv.slice(2));
if (options === "help") console.log(usage);
else if ("problem" in options) {
  console.error(`error: ${options.problem}\n${usage}`);
  process.exitCode = 2;
} else {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => interrupted.abort(new Error(`ended by ${name}`)));
  }
  try {
    await run(options, interrupted.signal);
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    if (!interrupted.signal.aborted && (error as Error).cause) console.error((error as Error).cause);
    process.exitCode = interrupted.signal.aborted ? 130 : 1;
  }
}

async function run(options: BenchOptions, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  const onProgress = (what: string): void => {
    console.error(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`);
  };
  const date = new Date().toISOString();
  const results = join(clone, "bench-results");
  await mkdir(results, { recursive: true });
  const prefix = join(results, date.replaceAll(":", "-").replace(/\..*/, "Z"));
  const machine = machineFacts(date);

  onProgress("starting an installation");
  await using installation = await BenchInstallation.create();
  await installation.start(signal);
  if (options.registryScale !== undefined) {
    const scale = options.registryScale;
    const registry = await measureRegistry({ installation, scale, signal, onProgress });
    machine.loadAverageAfter = loadavg()[0]!;
    const document = { version: 1, machine, registry };
    await writeFile(`${prefix}-registry.json`, `${JSON.stringify(document, undefined, 2)}\n`);
    if (options.json) console.log(JSON.stringify(document));
    else console.log(`\n${registryText(registry)}\n\n${footnotes(machine, 0)}`);
    onProgress(`written: ${relative(clone, prefix)}-registry.json`);
    return;
  }
  await installation.makeKeys();
  const handedOut = await measureExchange(installation, options.exchange, { ...options, onProgress });
  if (options.only.length === 0) {
    const backups = await measureBackup(installation, options.backup, { ...options, onProgress });
    const parts = [
      ...(options.exchange.length === 0 ? [] : [exchangeText(handedOut)]),
      ...(backups.length === 0 ? [] : [backupText(backups)]),
    ];
    console.log(
      options.json ? JSON.stringify({ version: 1, machine, handedOut, backups }) : parts.join("\n\n"),
    );
    return;
  }
  const serverUri = `spiffe://${trustDomain}/claviger/generator`;
  const identities = await makePeerIdentities({
    directory: installation.workDirectory,
    serverUri,
    clientUri: `spiffe://${trustDomain}/user/benchmark`,
  });
  const { server, port } = await BareServer.start(identities.server, signal);
  await using bare = server;
  await using load = new Load();
  await using loops = new BareLoops();
  const targets = {
    claviger: installation.generator,
    peer: {
      address: `127.0.0.1:${port}`,
      pid: bare.process.pid!,
      serverIdentity: serverUri,
      identityDirectory: identities.client,
    },
  };
  const { only, rounds, seconds } = options;
  const samples = await measureAll({
    load,
    loops,
    surroundings: await installation.surroundings(),
    targets,
    only,
    rounds,
    seconds,
    signal,
    onProgress,
  });
  await loops.close(signal);
  machine.loadAverageAfter = loadavg()[0]!;
  if (installation.generator.pid !== targets.claviger.pid)
    throw new Error("the generator was started again meanwhile");
  const rows = summarise(samples);

  const profiles = options.profile
    ? await profileAll({ installation, load, only, seconds: profileSeconds, signal, prefix, onProgress })
    : [];
  // Last: the rows that it fills in are nobody's.
  const backups = await measureBackup(installation, options.backup, { ...options, onProgress });
  const document = {
    version: 1,
    machine,
    options: { rounds, seconds },
    handedOut,
    backups,
    rows,
    samples,
    profiles: named(profiles),
  };
  await writeFile(`${prefix}.json`, `${JSON.stringify(document, undefined, 2)}\n`);
  if (options.json) console.log(JSON.stringify(document));
  else
    console.log(
      `\n${tableText(rows)}\n\n${footnotes(machine, samples.filter(({ finished }) => !finished).length)}`,
    );
  if (!options.json && backups.length > 0) console.log(`\n${backupText(backups)}`);
  for (const { workload, threads } of options.json ? [] : profiles)
    console.log(`\n${hotText(workload, threads)}`);
  onProgress(`written: ${relative(clone, prefix)}.json`);
}

function machineFacts(date: string) {
  return {
    date,
    node: process.version,
    platform: `${process.platform} ${process.arch} ${release()}`,
    processor: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    loadAverageBefore: loadavg()[0]!,
    loadAverageAfter: Number.NaN,
  };
}

function footnotes(machine: ReturnType<typeof machineFacts>, unfinished: number): string {
  const lines = [
    `Node ${machine.node}, ${machine.cores} cores (${machine.processor}), load ${machine.loadAverageBefore.toFixed(1)} before and ${machine.loadAverageAfter.toFixed(1)} at the end (the benchmark itself makes about 3).`,
    "Medians. CPU-seconds are of the server's process, all threads, until its audit records are shipped.",
    "The load and the rest of Claviger share the machine: trust ratios first, rates and latencies last.",
    "On a busy machine CPU-seconds buy less too, since caches and cores are shared.",
  ];
  if (unfinished > 0)
    lines.push(`In ${unfinished} runs shipping went on past its time, and is not counted in full.`);
  return lines.join("\n");
}

/** Without this machine's paths. */
function named(profiles: readonly KeptProfile[]) {
  return profiles.map(({ workload, threads }) => ({
    workload,
    threads: threads.map(({ file, summary }) => ({ file: relative(clone, file), ...summary })),
  }));
}

function hotText(workload: string, threads: KeptProfile["threads"]): string {
  const main = threads[0];
  if (main === undefined) return `${workload}: the generator wrote no profile`;
  const lines = main.summary.bySelf
    .slice(0, 8)
    .map(({ selfShare, name, file }) => `  ${(selfShare * 100).toFixed(1).padStart(5)} %  ${name}  ${file}`);
  return [`The generator's main thread during ${workload}, by self time:`, ...lines].join("\n");
}
