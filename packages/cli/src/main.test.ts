import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readInput, writeOutput } from "./files.ts";
import { formatProof } from "./proof-file.ts";
import { createSmallLog } from "./test-support/small-log.ts";

const main = join(import.meta.dirname, "main.ts");
const log = createSmallLog(5);
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "claviger-cli-"));
  writeFileSync(join(directory, "claviger.json"), "{ not JSON");
  mkdirSync(join(directory, "trust"));
  writeFileSync(join(directory, "trust", "audit.vkey"), `${log.verifierKey}\n`);
  writeFileSync(join(directory, "proof.json"), formatProof(log.proof(2)));
  writeFileSync(join(directory, "damaged.json"), formatProof(log.proof(2)).replace("allowed", "refused"));
  writeFileSync(join(directory, "large"), Buffer.alloc(1024 * 1024 + 1));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function claviger(...line: string[]): Promise<Ended> {
  const environment = { ...process.env, CLAVIGER_CONFIG: join(directory, "claviger.json") };
  const child = spawn(process.execPath, [main, ...line], { cwd: directory, env: environment });
  child.stdin.end();
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

describe("the command line", () => {
  it.each([
    [0, []],
    [0, ["--help"]],
    [0, ["keys", "create", "--help"]],
    [0, ["--version"]],
    [2, ["keyz"]],
    [2, ["keys"]],
    [2, ["keys", "crate", "a/b"]],
    [2, ["keys", "create", "a/b"]],
    [2, ["keys", "create", "a/b", "--algorithm", "aes-256-gcm", "--rotate-every", "soon"]],
    [2, ["keys", "destroy", "a/b@2"]],
    [2, ["keys", "revoke", "a/b", "--reason", "boredom"]],
    [2, ["random", "0"]],
    [2, ["encrypt", "a/b", "--in", "large"]],
    [2, ["decrypt", "a/b", "--in", "no-such-file"]],
    [2, ["status"]],
    [2, ["status", "--config", "no-such-file"]],
    [2, ["audit", "verify", "--offline", "no-such-file"]],
    [0, ["audit", "verify", "--offline", "proof.json"]],
    [5, ["audit", "verify", "--offline", "damaged.json"]],
    [5, ["audit", "verify", "--offline", "large"]],
    [2, ["audit", "verify", "--offline", "proof.json", "--verifier-key", "no-such-file"]],
  ])("ends with %i after %j", async (code, line) => {
    const plain = await claviger(...line);
    expect(plain).toMatchObject({ code });
    if (code !== 0) {
      expect(plain.stdout).toBe("");
      expect(plain.stderr).toMatch(/^error: .+\n/);
      const { stderr, ...json } = await claviger(...line, "--json");
      expect(json).toEqual({ code, stdout: "" });
      expect(JSON.parse(stderr)).toMatchObject({
        error: { kind: expect.any(String), message: expect.any(String) },
      });
    }
  });

  it("takes --json and --config anywhere, and then writes one document alone", async () => {
    const config = join(directory, "claviger.json");
    const { code, stdout, stderr } = await claviger(
      "--json",
      "audit",
      "--config",
      config,
      "verify",
      "--offline",
      "proof.json",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      valid: true,
      sequence: 2,
      record: { resource: "payments/cards" },
    });
  });

  it("suggests what was meant", async () => {
    expect((await claviger("keyz")).stderr).toContain("did you mean keys?");
  });
});

describe("an output file", () => {
  it("is replaced whole, with its mode, and leaves nothing else behind", () => {
    const path = join(directory, "plain");
    writeFileSync(path, "old", { mode: 0o644 });
    writeOutput(path, "new", { mode: 0o600 });
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory).filter((name) => name.includes(".part"))).toEqual([]);
  });

  it("is never put in a device's place", () => {
    writeOutput("/dev/null", "gone");
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  it("that cannot be written is bad usage", () => {
    expect(() => writeOutput(join(directory, "no", "where"), "x")).toThrow(
      expect.objectContaining({ kind: "invalid-argument" }),
    );
  });

  it("has as many bytes as the input may", async () => {
    const limits = { bytesMax: 1024 * 1024, what: "it" };
    await expect(readInput(join(directory, "large"), limits)).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    expect(await readInput(join(directory, "large"), { ...limits, bytesMax: 1024 * 1024 + 1 })).toHaveLength(
      1024 * 1024 + 1,
    );
  });
});
