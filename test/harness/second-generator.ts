import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, lchownSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type Claviger, createClaviger, readConfigFile } from "@claviger/client";
import { type EnrolledClient, type TestInstallation, unique, until } from "./installation.ts";
import { environmentOf, freePort } from "./replica.ts";

/** Not of the replica's own: the token is shared, a spool and a cache are not. */
const notCopied = ["audit-spool.db", "audit-spool.db-wal", "audit-spool.db-shm", "token", "compile-cache"];

/** Another generator of the same installation, with a directory and a port of its own, and the same token. */
export class SecondGenerator implements AsyncDisposable {
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

  static async start(house: TestInstallation): Promise<SecondGenerator> {
    const first = house.pidOf("generator");
    const original = house.layout.serviceDirectory("generator");
    const directory = join(house.layout.stateDirectory, unique("generator"));
    cpSync(original, directory, {
      recursive: true,
      filter: (path) => !notCopied.includes(basename(path)),
    });
    const { gid, uid } = statSync(original);
    for (const name of ["", ...readdirSync(directory, { recursive: true, encoding: "utf8" })]) {
      lchownSync(join(directory, name), uid, gid);
    }
    const address = `127.0.0.1:${await freePort()}`;
    const environment = { ...environmentOf(first), CLAVIGER_DIRECTORY: directory, CLAVIGER_LISTEN: address };
    const [program, ...args] = readFileSync(`/proc/${first}/cmdline`, "utf8").split("\0").slice(0, -1);
    const asRoot = process.getuid?.() === 0;
    // As root the services may see the clone in a mount namespace of their own, and have a user of their own.
    const entered = ["-t", `${first}`, "-m", "-S", `${uid}`, "-G", `${gid}`, "--", program!, ...args];
    const second = new SecondGenerator(address, directory, () =>
      spawn(asRoot ? "nsenter" : program!, asRoot ? entered : args, {
        env: environment,
        stdio: ["pipe", "ignore", "inherit"],
      }),
    );
    await second.untilItServes(house.claviger);
    return second;
  }

  /** The same identity's client, with this generator. */
  clientOf(of: TestInstallation | EnrolledClient): Claviger {
    const { addresses, identityDirectory, trustDomain } = readConfigFile(of.configPath);
    return createClaviger({
      trustDomain,
      identityDirectory,
      addresses: { ...addresses, generator: this.address },
    });
  }

  async untilItServes({ addresses, identity, trustDomain }: Claviger): Promise<void> {
    using client = createClaviger({
      trustDomain,
      identityDirectory: identity.directory,
      addresses: { ...addresses, generator: this.address },
    });
    await until(() => client.cryptography.generateRandom({ sizeBytes: 1 }), 30_000);
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
