import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { partNames, type ServiceName } from "@claviger/local";
import { expect, test } from "vitest";
import { useInstallation } from "../harness/installation.ts";

const house = useInstallation();
const services = ["storage", "generator", "distribution", "rotation", "audit"] as const;
const asRoot = process.getuid?.() === 0;
const fileBytesMax = 8 * 1024 * 1024;

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What nobody but its owner may see: PINs, passwords, keys, shares. */
function secretFiles(): string[] {
  const secret = /(^|\/)(.*\.(key|pin|so-pin|password|secret)|key\.pem|share-\d+\.txt|encryption\.conf)$/;
  return filesBelow(house.stateDirectory).filter((path) => secret.test(path));
}

function statusField(pid: number, field: string): string[] {
  const line = readFileSync(`/proc/${pid}/status`, "utf8")
    .split("\n")
    .find((text) => text.startsWith(`${field}:`));
  return line?.split(/\s+/).slice(1) ?? [];
}

test("five services are five processes, each under a uid of its own where root started them", () => {
  const pids = partNames.map((part) => house.pidOf(part));
  expect(new Set(pids).size).toBe(partNames.length);
  for (const service of services) {
    const commandLine = readFileSync(`/proc/${house.pidOf(service)}/cmdline`, "utf8");
    expect(commandLine).toContain(join("services", service));
  }
  if (!asRoot) return;
  const uids = pids.map((pid) => statusField(pid, "Uid")[0]);
  expect(new Set(uids).size).toBe(partNames.length);
  expect(uids).not.toContain("0");
  for (const pid of pids)
    expect(statusField(pid, "Uid").every((uid) => uid === statusField(pid, "Uid")[0])).toBe(true);
});

test("no service can leave a core dump, or gain rights that it was not started with", () => {
  for (const service of services) {
    const pid = house.pidOf(service);
    const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
    expect(/^Max core file size\s+(\S+)\s+(\S+)/m.exec(limits)?.slice(1, 3), service).toEqual(["0", "0"]);
    if (asRoot) expect(statusField(pid, "CapEff")).toEqual(["0000000000000000"]);
  }
});

test("nothing secret stands in a process's command line or environment", () => {
  const secrets = secretFiles()
    .filter((path) => statSync(path).size < 4096)
    .map((path) => readFileSync(path))
    .flatMap((bytes) => [bytes.toString("latin1").trim(), bytes.toString("base64"), bytes.toString("hex")])
    .filter((text) => text.length >= 16);
  expect(secrets.length).toBeGreaterThan(30);
  for (const part of partNames) {
    for (const file of ["cmdline", "environ"]) {
      const shown = readFileSync(`/proc/${house.pidOf(part)}/${file}`, "latin1");
      expect(shown.includes("PRIVATE KEY")).toBe(false);
      for (const secret of secrets) expect(shown.includes(secret), `${file} of ${part}`).toBe(false);
    }
  }
});

test("every file that holds a secret can be read by its owner alone, who is the one who needs it", () => {
  const found = secretFiles();
  for (const name of ["hsm.pin", "seal.key", "audit.key", "database.password", "key.pem", "share-1.txt"]) {
    expect(
      found.some((path) => path.endsWith(name)),
      name,
    ).toBe(true);
  }
  for (const path of found) expect(statSync(path).mode & 0o077, path).toBe(0);
  if (!asRoot) return;
  const ownerOf = (service: ServiceName) => Number(statusField(house.pidOf(service), "Uid")[0]);
  for (const service of services) {
    const own = found.filter((path) => path.startsWith(`${house.layout.serviceDirectory(service)}/`));
    expect(own.length).toBeGreaterThan(0);
    for (const path of own) expect(statSync(path).uid, path).toBe(ownerOf(service));
  }
  for (const path of filesBelow(house.layout.recoveryDirectory)) expect(statSync(path).uid).toBe(0);
});

test("no private key and no PIN lies in a log, a public file or the database's files in the clear", () => {
  const pin = readFileSync(join(house.layout.serviceDirectory("generator"), "hsm.pin"), "utf8").trim();
  const passwords = secretFiles()
    .filter((path) => path.endsWith("password"))
    .map((path) => readFileSync(path, "utf8").trim());
  const secret = new Set(secretFiles());
  for (const path of filesBelow(house.stateDirectory)) {
    if (secret.has(path) || statSync(path).size > fileBytesMax) continue;
    const text = readFileSync(path, "latin1");
    for (const word of ["PRIVATE KEY", pin, ...passwords]) expect(text.includes(word), path).toBe(false);
  }
});
