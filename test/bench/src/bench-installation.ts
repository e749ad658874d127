import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClaviger } from "@claviger/client";
import { serviceIdentity } from "@claviger/identity";
import {
  chooseFreeBlock,
  findPkcs11Module,
  type Layout,
  layoutOf,
  portsOf,
  readSupervisorFile,
  type SupervisorHandle,
  spawnSupervisor,
} from "@claviger/local";
import type { Target } from "./load-protocol.ts";
import type { LoopSurroundings } from "./loops.ts";
import { workloads } from "./workloads.ts";

export const clone = resolve(import.meta.dirname, "../../..");
export const trustDomain = "bench";
const firstBasePort = 19_400;

/** An installation in a directory of its own, which can be started again with another environment. */
export class BenchInstallation implements AsyncDisposable {
  readonly workDirectory: string;
  readonly layout: Layout;
  readonly #root: string;
  readonly #basePort: number;
  readonly #reaper: ChildProcess;
  #supervisor: SupervisorHandle | undefined;

  private constructor(root: string, workDirectory: string, basePort: number) {
    this.#root = root;
    this.workDirectory = workDirectory;
    this.#basePort = basePort;
    this.layout = layoutOf(join(root, "state"));
    // Clears away what we could not, however we end: shared with the tests.
    const reaper = join(clone, "test/harness/reaper.ts");
    this.#reaper = spawn(process.execPath, [reaper, root, this.layout.stateDirectory], {
      stdio: ["pipe", "ignore", "inherit"],
      detached: true,
    });
  }

  static async create(): Promise<BenchInstallation> {
    const root = await mkdtemp(join(tmpdir(), "claviger-bench-"));
    // The services have users of their own when root starts them.
    await chmod(root, 0o711);
    return new BenchInstallation(
      root,
      await mkdtemp(join(root, "work-")),
      await chooseFreeBlock(firstBasePort),
    );
  }

  async start(signal: AbortSignal, generatorEnvironment: Record<string, string> = {}): Promise<void> {
    signal.throwIfAborted();
    const events: string[] = [];
    const supervisor = await spawnSupervisor({
      clone,
      stateDirectory: this.layout.stateDirectory,
      basePort: this.#basePort,
      trustDomain,
      serviceEnvironment: { generator: generatorEnvironment },
      detached: false,
      onEvent: ({ part, message }) => events.push(`${part ?? "supervisor"}: ${message}`),
    });
    this.#supervisor = supervisor;
    const interrupt = () => supervisor.interrupt();
    signal.addEventListener("abort", interrupt, { once: true });
    try {
      await supervisor.ready;
    } catch (cause) {
      signal.throwIfAborted();
      throw new Error(`the installation did not start\n${events.slice(-15).join("\n")}`, { cause });
    } finally {
      signal.removeEventListener("abort", interrupt);
    }
  }

  async stop(): Promise<void> {
    await this.#supervisor?.stop();
    this.#supervisor = undefined;
  }

  /** The keyring and keys of the workloads. */
  async makeKeys(): Promise<void> {
    using claviger = createClaviger({ config: this.layout.configurationFile });
    await claviger.keyrings.createKeyring({ name: "bench" });
    const rows = Object.values(workloads);
    for (const name of new Set(rows.filter(({ constant }) => constant).map(({ key }) => key))) {
      const { algorithm, protection } = rows.find(({ key }) => key === name)!;
      await claviger.keyGeneration.createKey({ name, algorithm, protection });
    }
  }

  /** The generator as it runs now. */
  get generator(): Target {
    const pid = readSupervisorFile(this.layout)?.parts.find(({ name }) => name === "generator")?.pid;
    if (pid === undefined) throw new Error("the generator does not run");
    return {
      address: `127.0.0.1:${portsOf(this.#basePort).generator}`,
      pid,
      serverIdentity: serviceIdentity(trustDomain, "generator").uri,
      identityDirectory: this.layout.administratorDirectory,
    };
  }

  /** For the loops that need a database and an HSM's module. */
  async surroundings(): Promise<LoopSurroundings> {
    const { socketDirectory, superuserPassword } = this.layout.postgresql;
    return {
      pkcs11Module: findPkcs11Module(),
      directory: this.workDirectory,
      database: {
        host: socketDirectory,
        port: portsOf(this.#basePort).postgresql,
        user: "postgres",
        password: (await readFile(superuserPassword, "utf8")).trim(),
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#root, { recursive: true, force: true, maxRetries: 5 });
    const gone = once(this.#reaper, "exit");
    this.#reaper.stdin?.end();
    await gone;
  }
}
