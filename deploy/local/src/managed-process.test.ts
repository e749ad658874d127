import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManagedProcess } from "./managed-process.ts";
import { isRunning } from "./process-identity.ts";

let directory: string;
let part: ManagedProcess | undefined;
const notices: string[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "claviger-managed-"));
  notices.length = 0;
});

afterEach(async () => {
  part?.kill();
  await part?.stop(1_000);
  await rm(directory, { recursive: true, force: true });
});

function manage(script: string, isReady = async () => true): ManagedProcess {
  part = new ManagedProcess({
    name: "audit",
    program: "/bin/sh",
    arguments: ["-c", script],
    directory,
    environment: { PATH: "/usr/bin:/bin", ONLY: "this" },
    account: undefined,
    logFile: join(directory, "part.log"),
    isReady,
    startTimeoutMilliseconds: 1_000,
    stopSignal: "SIGTERM",
    onChange: () => undefined,
    onNotice: (message) => notices.push(message),
  });
  return part;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited in vain");
    await sleep(10);
  }
}

describe("a managed process", () => {
  it("is started again when it is killed, and counts it", async () => {
    const managed = manage("exec sleep 60");
    await managed.start();
    const { pid: first } = managed.status();
    process.kill(first!, "SIGKILL");
    await until(() => managed.status().restarts === 1 && managed.status().state === "ready");
    expect(managed.status().pid).not.toBe(first);
    expect(managed.status().lastExit).toBe("ended by SIGKILL");
    expect(notices[0]).toContain("starting it again in 100 ms");
  });

  it("stays down after it was stopped", async () => {
    const managed = manage("exec sleep 60");
    await managed.start();
    const { pid, processStart } = managed.status();
    await managed.stop(1_000);
    await sleep(200);
    expect(isRunning(pid!, processStart)).toBe(false);
    expect(managed.status()).toMatchObject({ state: "stopped", pid: undefined, restarts: 0 });
  });

  it("is killed, with its children, when it does not end in time", async () => {
    const managed = manage("trap '' TERM; sleep 60 & echo $!; wait; sleep 60");
    await managed.start();
    await sleep(100);
    const child = Number(await readFile(join(directory, "part.log"), "utf8"));
    await managed.stop(200);
    expect(notices).toContain("did not end within 200 ms and was killed");
    await until(() => !isRunning(child, undefined));
  });

  it("refuses to start what ends by itself, and says how it ended", async () => {
    const managed = manage("exit 7", async () => false);
    await expect(managed.start()).rejects.toThrow("audit did not start: exited with status 7");
    expect(managed.status().state).toBe("failed");
  });

  it("gives up on what is never ready, with the reason of its probe", async () => {
    const managed = manage("exec sleep 60", () => Promise.reject(new Error("nobody answers")));
    await expect(managed.start()).rejects.toThrow("was not ready after 1000 ms: nobody answers");
    expect(managed.status().pid).toBeUndefined();
  });

  it("inherits nothing of the launcher's environment", async () => {
    const managed = manage("env; exec sleep 60");
    await managed.start();
    await sleep(100);
    const names = (await readFile(join(directory, "part.log"), "utf8")).match(/^\w+(?==)/gm);
    expect(names?.filter((name) => name !== "PWD" && name !== "_").sort()).toEqual(["ONLY", "PATH"]);
  });
});
