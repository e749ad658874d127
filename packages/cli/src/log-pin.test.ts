import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkHead, type PinFiles, pinFilesOf, readPin, type ToldHead, writePin } from "./log-pin.ts";
import { createSmallLog, type SmallLog } from "./test-support/small-log.ts";

const integrity = expect.objectContaining({ kind: "integrity" });
const log = createSmallLog(30);
let directory = "";
let files: PinFiles;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "claviger-pin-"));
  files = pinFilesOf(join(directory, "claviger.json"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function head(of: SmallLog, size: number, from = 0): ToldHead {
  const consistency = from === 0 || from > size ? [] : of.consistency(from, size);
  return { note: of.checkpoint(size), verifierKeyText: of.verifierKey, consistency };
}

/** What one `audit verify` does, without the network. */
function follow(told: ToldHead): number {
  const pin = readPin(files);
  const { size } = checkHead(told, pin);
  writePin(files, told, pin);
  return size;
}

describe("the pinned log", () => {
  it("is pinned at its first use and followed as it grows, or stays as it is", () => {
    expect(follow(head(log, 7))).toBe(7);
    expect(follow(head(log, 7, 7))).toBe(7);
    expect(follow(head(log, 30, 7))).toBe(30);
    expect(readPin(files).checkpoint?.size).toBe(30);
  });

  it("is not another log with another key", () => {
    follow(head(log, 7));
    expect(() => follow(head(createSmallLog(30), 30, 7))).toThrow(integrity);
    expect(readPin(files).checkpoint?.size).toBe(7);
  });

  it("neither shrinks nor changes what it had", () => {
    follow(head(log, 20));
    expect(() => follow(head(log, 7))).toThrow(integrity);
    expect(() => follow({ ...head(log, 30, 20), consistency: log.consistency(19, 30) })).toThrow(integrity);
    expect(readPin(files).checkpoint?.size).toBe(20);
  });

  it("is not followed with a damaged checkpoint, nor from a damaged pin", () => {
    const told = head(log, 7);
    expect(() => follow({ ...told, note: told.note.replace("7\n", "8\n") })).toThrow(integrity);
    expect(() => follow({ ...told, note: "hello" })).toThrow(integrity);
    expect(() => follow({ ...told, verifierKeyText: "hello" })).toThrow(integrity);
    expect(readPin(files)).toEqual({});
    mkdirSync(dirname(files.checkpoint), { recursive: true });
    writeFileSync(files.verifierKey, log.verifierKey);
    writeFileSync(files.checkpoint, told.note.slice(0, -9));
    expect(() => readPin(files)).toThrow(integrity);
  });
});
