import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import { boundLog, openLog } from "./log-file.ts";
import type { PartName } from "./parts.ts";
import { processStart, signal } from "./process-identity.ts";
import type { PartState, PartStatus } from "./supervisor-file.ts";

const pollMilliseconds = 20;
const firstDelayMilliseconds = 100;
const delayMillisecondsMax = 5_000;
/** A process that lived this long has proved itself: its next death is restarted at once again. */
const stableMilliseconds = 15_000;
const startAttemptsMax = 3;
const logCheckMilliseconds = 30_000;

export interface ManagedProcessOptions {
  name: PartName;
  program: string;
  arguments: readonly string[];
  directory: string;
  /** The whole environment: nothing is inherited. */
  environment: Readonly<Record<string, string>>;
  account: Account | undefined;
  logFile: string;
  /** Asked again and again until it says true; what it throws is the reason given when time is up. */
  isReady: () => Promise<boolean>;
  startTimeoutMilliseconds: number;
  stopSignal: NodeJS.Signals;
  /** Called after every change of what {@link ManagedProcess.status} says. */
  onChange: () => void;
  onNotice: (message: string) => void;
}

/**
 * One part of the installation: a child process that is started again when it ends without being asked.
 *
 * Its standard input is a pipe that nobody writes to: a service reads the end of it as its supervisor's
 * death. It gets a session of its own, so that Ctrl-C in the terminal reaches the launcher alone, which
 * then ends the parts in order.
 */
export class ManagedProcess {
  readonly #options: ManagedProcessOptions;
  #child: ChildProcess | undefined;
  #processStart: string | undefined;
  #state: PartState = "waiting";
  #restarts = 0;
  #quickDeaths = 0;
  #lastExit: string | undefined;
  #stopping = false;
  #everReady = false;
  #timedOut = false;
  #exited: Promise<void> = Promise.resolve();
  #logTimer: NodeJS.Timeout | undefined;

  constructor(options: ManagedProcessOptions) {
    this.#options = options;
  }

  get name(): PartName {
    return this.#options.name;
  }

  status(): PartStatus {
    return {
      name: this.name,
      pid: this.#child?.pid,
      processStart: this.#processStart,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  /** Starts it and resolves when it is ready. Tries a few times, since a port or a lock may take a moment to be freed. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#stopping) throw this.#failure("was told to stop while it started");
      this.#spawn();
      if (await this.#becomesReady()) break;
      // One that hung through its whole time would only hang again.
      if (attempt === startAttemptsMax || this.#timedOut) {
        this.#become("failed");
        throw this.#failure(`did not start: ${this.#lastExit ?? "no reason known"}`);
      }
      await sleep(firstDelayMilliseconds * attempt);
    }
    this.#everReady = true;
    this.#become("ready");
    this.#logTimer = setInterval(() => {
      boundLog(this.#options.logFile).catch((cause) =>
        this.#options.onNotice(`its log could not be bounded: ${cause}`),
      );
    }, logCheckMilliseconds).unref();
    if (this.#child === undefined) void this.#restart();
  }

  /** Asks it to end, and after the grace ends it. Resolves when it is gone. */
  async stop(graceMilliseconds: number): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#logTimer);
    const pid = this.#child?.pid;
    if (pid !== undefined) {
      signal(pid, this.#options.stopSignal);
      this.#child?.stdin?.destroy();
      const gone = await Promise.race([
        this.#exited.then(() => true),
        sleep(graceMilliseconds, false, { ref: false }),
      ]);
      if (!gone) {
        this.#options.onNotice(`did not end within ${graceMilliseconds} ms and was killed`);
        this.kill();
        await this.#exited;
      }
    }
    // "failed" is kept for whoever asks afterwards which part it was.
    if (this.#state !== "failed") this.#become("stopped");
  }

  /** Ends it and whatever it started, now. */
  kill(): void {
    this.#stopping = true;
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    // Its session's process group has its own id.
    signal(-pid, "SIGKILL") || signal(pid, "SIGKILL");
  }

  #spawn(): void {
    const { program, directory, environment, account, logFile } = this.#options;
    const log = openLog(logFile);
    try {
      const child = spawn(program, this.#options.arguments, {
        cwd: directory,
        env: environment,
        stdio: ["pipe", log, log],
        detached: true,
        ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
      });
      this.#child = child;
      this.#processStart = child.pid === undefined ? undefined : processStart(child.pid);
      // Without a listener a write into a closed pipe would end the supervisor.
      child.stdin?.on("error", () => undefined);
      this.#exited = new Promise((resolve) => {
        child.once("error", (cause) => this.#ended(child, `could not be run: ${cause.message}`, resolve));
        child.once("exit", (code, exitSignal) =>
          this.#ended(
            child,
            exitSignal === null ? `exited with status ${code}` : `ended by ${exitSignal}`,
            resolve,
          ),
        );
      });
      this.#become(this.#everReady ? "restarting" : "starting");
    } finally {
      closeSync(log);
    }
  }

  #ended(child: ChildProcess, how: string, done: () => void): void {
    done();
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#processStart = undefined;
    this.#lastExit = how;
    if (this.#state === "ready" && !this.#stopping) {
      void this.#restart();
    } else {
      this.#options.onChange();
    }
  }

  /** True once it is ready, false when it ended before, or took too long and was ended. */
  async #becomesReady(): Promise<boolean> {
    const deadline = performance.now() + this.#options.startTimeoutMilliseconds;
    let reason = "";
    while (this.#child !== undefined && !this.#stopping) {
      const ready = await this.#options.isReady().catch((cause: unknown) => {
        reason = cause instanceof Error ? `: ${cause.message}` : "";
        return false;
      });
      // A probe that succeeds may have met a stranger on the port: ours has to be alive after it, too.
      if (ready && this.#child !== undefined) return true;
      if (performance.now() > deadline) {
        this.kill();
        this.#stopping = false;
        await this.#exited;
        this.#timedOut = true;
        this.#lastExit = `was not ready after ${this.#options.startTimeoutMilliseconds} ms${reason}`;
        return false;
      }
      await sleep(pollMilliseconds);
    }
    return false;
  }

  async #restart(): Promise<void> {
    while (!this.#stopping) {
      this.#restarts++;
      const delay = Math.min(firstDelayMilliseconds * 2 ** this.#quickDeaths, delayMillisecondsMax);
      this.#quickDeaths++;
      this.#become("restarting");
      this.#options.onNotice(
        `${this.#lastExit}: starting it again in ${delay} ms (restart ${this.#restarts})`,
      );
      await sleep(delay, undefined, { ref: false });
      if (this.#stopping) return;
      const began = performance.now();
      this.#spawn();
      if (await this.#becomesReady()) {
        this.#become("ready");
        this.#options.onNotice(`is ready again after ${Math.round(performance.now() - began)} ms`);
        this.#forgiveLater();
        return;
      }
    }
  }

  #forgiveLater(): void {
    const child = this.#child;
    setTimeout(() => {
      if (this.#child === child) this.#quickDeaths = 0;
    }, stableMilliseconds).unref();
  }

  #become(state: PartState): void {
    this.#state = state;
    this.#options.onChange();
  }

  #failure(what: string): DomainError {
    return new DomainError("unavailable", `${this.name} ${what}`, {
      hint: `its last lines are in log/${this.name}.log of the state directory`,
    });
  }
}
