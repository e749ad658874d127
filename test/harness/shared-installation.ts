import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chooseFreeBlock, partNames, type SupervisorHandle, spawnSupervisor } from "@claviger/local";

/** What a test file is told of the installation; it crosses a process border as JSON. */
export interface InstallationAddress {
  stateDirectory: string;
  /** For what tests write themselves. */
  workDirectory: string;
  basePort: number;
  trustDomain: string;
}

export const clone = resolve(import.meta.dirname, "../..");
export const testTrustDomain = "claviger.test";
const firstBasePort = 17_400;
const logLinesMax = 15;

/** One installation in a directory of its own, which goes when it is closed, or when this process ends. */
export class SharedInstallation implements AsyncDisposable {
  readonly address: InstallationAddress;
  readonly #root: string;
  readonly #supervisor: SupervisorHandle;
  readonly #reaper: ChildProcess;

  private constructor(
    root: string,
    address: InstallationAddress,
    supervisor: SupervisorHandle,
    reaper: ChildProcess,
  ) {
    this.#root = root;
    this.address = address;
    this.#supervisor = supervisor;
    this.#reaper = reaper;
  }

  static async start(): Promise<SharedInstallation> {
    const root = await mkdtemp(join(tmpdir(), "claviger-test-"));
    // The services have users of their own when root starts them.
    await chmod(root, 0o711);
    const address = {
      stateDirectory: join(root, "state"),
      workDirectory: await mkdtemp(join(root, "work-")),
      basePort: await chooseFreeBlock(firstBasePort),
      trustDomain: testTrustDomain,
    };
    const reaper = spawnReaper(root, address.stateDirectory);
    const events: string[] = [];
    const supervisor = await spawnSupervisor({
      clone,
      ...address,
      detached: false,
      onEvent: ({ part, message }) => events.push(`${part ?? "supervisor"}: ${message}`),
    });
    reaper.stdin?.write(`${supervisor.pid}\n`);
    const installation = new SharedInstallation(root, address, supervisor, reaper);
    try {
      await supervisor.ready;
    } catch (cause) {
      const said = [...events.slice(-logLinesMax), installation.logTails()].join("\n");
      await installation[Symbol.asyncDispose]();
      throw new Error(`the installation under test did not start\n${said}`, { cause });
    }
    return installation;
  }

  logTails(): string {
    const tails = [...partNames, "supervisor" as const].map((name) => {
      const lines = readOrEmpty(this.#supervisor.layout.logFile(name)).trimEnd().split("\n");
      return [`--- the end of ${name}'s log`, ...lines.slice(-logLinesMax)].join("\n");
    });
    return tails.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#supervisor.stop();
    if (process.env.CLAVIGER_TEST_KEEP === "1") {
      console.error(`the state under test is kept in ${this.#root}`);
      this.#reaper.kill("SIGKILL");
      return;
    }
    await rm(this.#root, { recursive: true, force: true, maxRetries: 5 });
    const gone = once(this.#reaper, "exit");
    this.#reaper.stdin?.end();
    await gone;
  }
}

/** A process that outlives us, waits for us to end, however we do, and leaves nothing behind. */
function spawnReaper(root: string, stateDirectory: string): ChildProcess {
  const program = join(import.meta.dirname, "reaper.ts");
  // Of a session of its own: Ctrl-C must not reach it.
  const reaper = spawn(process.execPath, [program, root, stateDirectory], {
    stdio: ["pipe", "ignore", "inherit"],
    detached: true,
  });
  reaper.stdin.on("error", () => undefined);
  return reaper;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
