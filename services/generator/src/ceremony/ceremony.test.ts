import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readTranscript, rightToken } from "./transcript.ts";

const modulePath = [
  process.env.CLAVIGER_PKCS11_MODULE ?? "",
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
].find((path) => path !== "" && existsSync(path));

describe.skipIf(modulePath === undefined)("the generator's program in ceremony mode", () => {
  const directory = mkdtempSync(join(tmpdir(), "claviger-ceremony-"));

  beforeAll(() => {
    for (const name of ["token", "handoff"]) mkdirSync(join(directory, name));
    const token = join(directory, "token");
    writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${token}\n`);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function run(more: Record<string, string> = {}) {
    return spawnSync(process.execPath, [join(import.meta.dirname, "main.ts")], {
      encoding: "utf8",
      env: {
        CLAVIGER_DIRECTORY: directory,
        CLAVIGER_RECOVERY_DIRECTORY: join(directory, "handoff"),
        CLAVIGER_PKCS11_MODULE: modulePath!,
        SOFTHSM2_CONF: join(directory, "softhsm2.conf"),
        ...more,
      },
    });
  }

  test("production refuses SoftHSM before anything is written to it", () => {
    const { status, stderr } = run({ CLAVIGER_PROFILE: "production" });
    expect(status).toBe(1);
    expect(stderr).toContain("SoftHSM keeps its keys in files");
    expect(readdirSync(join(directory, "token"))).toEqual([]);
    expect(readTranscript(directory)).toBeUndefined();
    expect(run({ CLAVIGER_PROFILE: "prod" }).stderr).toContain("one of development, production");
  });

  test("it is held once; later another token may be accepted, and the transcript says when", () => {
    expect(run()).toMatchObject({ status: 0, stderr: "" });
    const held = readTranscript(directory)!;
    const bytes = readFileSync(join(directory, "ceremony.json"));
    expect(run().stdout).toContain("has been held already");
    expect(readFileSync(join(directory, "ceremony.json"))).toEqual(bytes);
    expect(rightToken(held)).toBe(held.token.serial);
    expect(run({ CLAVIGER_ACCEPT_TOKEN: "77AA" })).toMatchObject({ status: 0 });
    expect(rightToken(readTranscript(directory)!)).toBe("77AA");
    expect(readTranscript(directory)).toMatchObject({ recoveryWraps: held.recoveryWraps });
  });
});
