import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createClaviger } from "./claviger.ts";
import { findConfigFile, formatConfig, readConfigFile } from "./config-file.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "claviger-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const addresses = { storage: "127.0.0.1:7401", http: "[::1]:7423" };

function place(...names: string[]): string {
  const path = join(directory, ...names);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, formatConfig("claviger.local", addresses));
  return path;
}

describe("looking for claviger.json", () => {
  it("takes the path given, then CLAVIGER_CONFIG, then CLAVIGER_STATE, then the nearest .claviger", () => {
    const given = place("given.json");
    const named = place("named.json");
    const state = place("state", "claviger.json");
    const near = place(".claviger", "claviger.json");
    const workingDirectory = join(directory, "a", "b");
    mkdirSync(workingDirectory, { recursive: true });
    const environment = { CLAVIGER_CONFIG: named, CLAVIGER_STATE: join(directory, "state") };
    expect(findConfigFile({ path: given, environment, workingDirectory })).toBe(given);
    expect(findConfigFile({ environment, workingDirectory })).toBe(named);
    expect(
      findConfigFile({ environment: { CLAVIGER_STATE: join(directory, "state") }, workingDirectory }),
    ).toBe(state);
    expect(findConfigFile({ environment: {}, workingDirectory })).toBe(near);
  });

  it("refuses a path that names no file, and says which", () => {
    const path = join(directory, "nowhere.json");
    expect(() => findConfigFile({ path })).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
    expect(() => findConfigFile({ path })).toThrow(path);
  });
});

describe("reading claviger.json", () => {
  it("resolves the identity's directory beside the file", () => {
    const path = place("joined", "claviger.json");
    expect(readConfigFile(path)).toEqual({
      path,
      trustDomain: "claviger.local",
      addresses,
      identityDirectory: join(directory, "joined"),
    });
  });

  it.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["another version", '{"version":2}'],
    ["no trust domain", '{"version":1,"identity":".","addresses":{}}'],
    [
      "an address without a port",
      '{"version":1,"trustDomain":"x","identity":".","addresses":{"audit":"host"}}',
    ],
  ])("refuses %s, naming the file", (_, text) => {
    const path = join(directory, "claviger.json");
    writeFileSync(path, text);
    expect(() => readConfigFile(path)).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
    expect(() => readConfigFile(path)).toThrow(path);
  });

  it("leads to an error that says how to get an identity where there is none", () => {
    const config = place("claviger.json");
    const refused = expect.objectContaining({
      kind: "failed-precondition",
      hint: expect.stringContaining("join"),
    });
    expect(() => createClaviger({ config })).toThrow(refused);
  });
});
