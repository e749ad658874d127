import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type Claviger, createClaviger } from "@claviger/client";
import { chooseFreeBlock, layoutOf, portsOf } from "@claviger/local";
import { Client } from "pg";
import { type CliResult, runCli } from "./run-cli.ts";
import { clone, testTrustDomain } from "./shared-installation.ts";

const firstBasePort = 17_600;

/** An installation of one test's own, started and stopped as a user does; it may be ruined. */
export class OwnInstallation implements AsyncDisposable {
  readonly #root: string;
  readonly #basePort: number;
  /** For what must outlive the installation. */
  readonly workDirectory: string;
  readonly stateDirectory: string;

  private constructor(root: string, basePort: number) {
    this.#root = root;
    this.#basePort = basePort;
    this.stateDirectory = join(root, "state");
    this.workDirectory = mkdtempSync(join(root, "work-"));
  }

  static async create(): Promise<OwnInstallation> {
    const root = mkdtempSync(join(tmpdir(), "claviger-own-"));
    chmodSync(root, 0o711);
    return new OwnInstallation(root, await chooseFreeBlock(firstBasePort));
  }

  get configPath(): string {
    return join(this.stateDirectory, "claviger.json");
  }

  /** What `npm start -- --detach` says, and its exit code. */
  async start(): Promise<{ code: number; said: string }> {
    return this.#launch("start.ts", "--detach", "--no-tour");
  }

  async stop(): Promise<void> {
    await this.#launch("stop.ts");
  }

  /** Everything is lost: database, HSM token, seal keys, identities. */
  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.stateDirectory, { recursive: true });
  }

  connect(): Claviger {
    return createClaviger({ config: this.configPath });
  }

  /** One statement as PostgreSQL's superuser, who sees all schemas. */
  async superuser<Row = Record<string, unknown>>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const { postgresql, settingsFile } = layoutOf(this.stateDirectory);
    const { basePort } = JSON.parse(readFileSync(settingsFile, "utf8")) as { basePort: number };
    const client = new Client({
      host: postgresql.socketDirectory,
      port: portsOf(basePort).postgresql,
      database: "claviger",
      user: "postgres",
      password: readFileSync(postgresql.superuserPassword, "utf8").trim(),
    });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  cli(...args: string[]): Promise<CliResult> {
    return runCli(args, this.configPath, { workingDirectory: this.workDirectory });
  }

  /** The command line in a process group of its own, to be ended by `kill(-pid)`. */
  spawnCli(...args: string[]): ChildProcess {
    return spawn(join(clone, "bin", "claviger"), args, {
      cwd: this.workDirectory,
      env: { ...process.env, CLAVIGER_CONFIG: this.configPath },
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
  }

  async #launch(program: string, ...args: string[]): Promise<{ code: number; said: string }> {
    const child = spawn(process.execPath, [join(clone, "deploy/local/src", program), ...args], {
      env: {
        ...process.env,
        CLAVIGER_STATE: this.stateDirectory,
        CLAVIGER_BASE_PORT: String(this.#basePort),
        CLAVIGER_TRUST_DOMAIN: testTrustDomain,
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit") as Promise<[number]>]);
    return { code, said };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#root, { recursive: true, force: true, maxRetries: 5 });
  }
}
