import { Worker } from "node:worker_threads";
import { DomainError } from "@claviger/domain-error";
import type { SpoolAnswer, SpoolCommand } from "./spool-protocol.ts";

/** Talks to the worker thread: one answer for each command, in order. */
export class SpoolFile {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (answer: SpoolAnswer) => void; reject: (error: Error) => void }
  >();
  #number = 0;
  #broken: Error | undefined;

  constructor(path: string) {
    this.#worker = new Worker(new URL("./spool-worker.ts", import.meta.url), { workerData: { path } });
    this.#worker.on("message", (answer: SpoolAnswer) => {
      const waiting = this.#waiting.get(answer.number);
      this.#waiting.delete(answer.number);
      if (answer.error === undefined) waiting?.resolve(answer);
      else waiting?.reject(unkept(answer.error));
    });
    const end = (error: Error): void => {
      this.#broken = error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
    this.#worker.on("error", (error) => end(unkept((error as Error).message)));
    this.#worker.on("exit", () => end(unkept("the spool was closed")));
  }

  /** What a command has kept is the thread's from then on: it is handed over, not copied. */
  ask(command: SpoolCommand): Promise<SpoolAnswer> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      const handedOver = command.do === "keep" ? command.kept.map(({ encoded }) => encoded.buffer) : [];
      this.#worker.postMessage({ number, command }, handedOver);
    });
  }

  async close(): Promise<void> {
    await this.ask({ do: "close" }).catch(() => undefined);
    await this.#worker.terminate();
  }
}

function unkept(why: string): DomainError {
  return new DomainError("unavailable", "the audit record could not be kept, so the operation was refused", {
    hint: "look at the disk of the generator's host",
    cause: new Error(why),
  });
}
