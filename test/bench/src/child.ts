import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type {
  LoadAnswer,
  LoadRequest,
  LoadResult,
  LoopAnswer,
  LoopRequest,
  LoopResult,
} from "./load-protocol.ts";

const startMilliseconds = 15_000;
/** Beyond the request's own seconds: connecting, and calls under way at the end. */
const slackMilliseconds = 20_000;

/** A program of this directory as a child process; it ends when we do, since it watches the channel. */
class Child implements AsyncDisposable {
  readonly process: ChildProcess;

  constructor(program: string, args: readonly string[]) {
    this.process = fork(join(import.meta.dirname, program), args, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  /** The next message. @throws where it ends, or takes too long */
  async next(timeoutMilliseconds: number, signal: AbortSignal): Promise<unknown> {
    const settled = new AbortController();
    const late = AbortSignal.timeout(timeoutMilliseconds);
    const options = { signal: AbortSignal.any([signal, late, settled.signal]) };
    try {
      return await Promise.race([
        once(this.process, "message", options).then(([message]) => message),
        once(this.process, "exit", options).then(([code, name]) => {
          throw new Error(`a child process of the benchmark ended (${name ?? `status ${code}`})`);
        }),
      ]);
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) throw new Error("a child process of the benchmark does not answer", { cause: error });
      throw error;
    } finally {
      settled.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }
}

export class Load extends Child {
  constructor() {
    super("load-worker.ts", []);
  }

  async run(request: LoadRequest, signal: AbortSignal): Promise<LoadResult> {
    const milliseconds = (request.warmUpSeconds + request.seconds) * 1000 + slackMilliseconds;
    const answer = this.next(milliseconds, signal) as Promise<LoadAnswer>;
    this.process.send(request);
    const message = await answer;
    if (!message.ok) throw new Error(`${request.workload} failed: ${message.message}`);
    return message.result;
  }
}

/** The floors' process. */
export class BareLoops extends Child {
  constructor() {
    super("loop-worker.ts", []);
  }

  async run(request: LoopRequest, signal: AbortSignal): Promise<LoopResult> {
    const milliseconds = (request.warmUpSeconds + request.seconds) * 1000 + slackMilliseconds;
    return this.#ask(request, milliseconds, signal);
  }

  /** Clears away what the loops made. */
  async close(signal: AbortSignal): Promise<void> {
    await this.#ask("close", slackMilliseconds, signal);
  }

  async #ask(what: LoopRequest | "close", milliseconds: number, signal: AbortSignal): Promise<LoopResult> {
    const answer = this.next(milliseconds, signal) as Promise<LoopAnswer>;
    this.process.send(what);
    const message = await answer;
    if (!message.ok) throw new Error(`a bare loop failed: ${message.message}`);
    return message.result;
  }
}

export class BareServer extends Child {
  static async start(
    identityDirectory: string,
    signal: AbortSignal,
  ): Promise<{ server: BareServer; port: number }> {
    const server = new BareServer("peer-server.ts", [identityDirectory]);
    try {
      const { port } = (await server.next(startMilliseconds, signal)) as { port: number };
      return { server, port };
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }
}
