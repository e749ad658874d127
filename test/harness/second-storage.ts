import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, lchownSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { createClaviger } from "@claviger/client";
import { type TestInstallation, unique, until } from "./installation.ts";
import { environmentOf, freePort } from "./replica.ts";

const notCopied = ["ledger.db", "ledger.db-wal", "ledger.db-shm", "compile-cache"];

/** Another storage of the same installation and database, with a directory, a ledger and a port of its own. */
export class SecondStorage implements AsyncDisposable {
  readonly address: string;
  readonly #directory: string;
  readonly #start: () => ChildProcess;
  #process: ChildProcess;

  private constructor(address: string, directory: string, start: () => ChildProcess) {
    this.address = address;
    this.#directory = directory;
    this.#start = start;
    this.#process = start();
  }

  static async start(house: TestInstallation): Promise<SecondStorage> {
    const first = house.pidOf("storage");
    const original = house.layout.serviceDirectory("storage");
    const directory = join(house.layout.stateDirectory, unique("storage"));
    cpSync(original, directory, { recursive: true, filter: (path) => !notCopied.includes(basename(path)) });
    const { gid, uid } = statSync(original);
    for (const name of ["", ...readdirSync(directory, { recursive: true, encoding: "utf8" })]) {
      lchownSync(join(directory, name), uid, gid);
    }
    const address = `127.0.0.1:${await freePort()}`;
    const environment = { ...environmentOf(first), CLAVIGER_DIRECTORY: directory, CLAVIGER_LISTEN: address };
    const [program, ...args] = readFileSync(`/proc/${first}/cmdline`, "utf8").split("\0").slice(0, -1);
    const asRoot = process.getuid?.() === 0;
    const second = new SecondStorage(address, directory, () => {
      // Into the mount namespace of the first as it runs now: it may have been killed since.
      const entered = [
        "-t",
        `${house.pidOf("storage")}`,
        "-m",
        "-S",
        `${uid}`,
        "-G",
        `${gid}`,
        "--",
        program!,
      ];
      return spawn(asRoot ? "nsenter" : program!, asRoot ? [...entered, ...args] : args, {
        env: environment,
        stdio: ["pipe", "ignore", "inherit"],
      });
    });
    await second.untilItServes(house);
    return second;
  }

  async untilItServes({ claviger: { addresses, identity, trustDomain } }: TestInstallation): Promise<void> {
    using client = createClaviger({
      trustDomain,
      identityDirectory: identity.directory,
      addresses: { ...addresses, storage: this.address },
    });
    await until(() => client.keys.listKeyrings({}), 30_000);
  }

  async kill(): Promise<void> {
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  startAgain(): void {
    this.#process = this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, "exit");
      this.#process.stdin?.end();
      await gone;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
