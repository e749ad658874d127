import { expect, test } from "vitest";
import { checkHost, type HostReader } from "./host-checks.ts";

const good: Record<string, string> = {
  "/proc/swaps": "Filename Type Size\n/dev/zram0 partition 1\n/dev/dm-1 partition 1\n",
  "/sys/block/dm-1/dm/uuid": "CRYPT-PLAIN-swap\n",
  "/sys/power/state": "freeze mem disk\n",
  "/sys/power/resume": "0:0\n",
  "/proc/7/cmdline": "/opt/node\0/claviger/services/generator/src/main.ts\0",
  "/proc/7/limits": "Limit Soft Hard Units\nMax core file size 0 0 bytes\n",
  "/proc/8/cmdline": "sh\0-c\0exec node /claviger/services/generator/src/main.ts\0",
  "/proc/self/mountinfo": "1 0 8:1 / / rw\n2 1 253:0 / /srv rw\n3 1 8:2 / /srvother rw\n",
  "/sys/dev/block/253:0/dm/uuid": "CRYPT-LUKS2-abc\n",
};

function hostOf(files: Record<string, string>, shares: string[] = ["README.txt"]): HostReader {
  return { read: (path) => files[path], list: (path) => (path === "/proc" ? ["7", "8", "self"] : shares) };
}

function statesOf(changed: Record<string, string>): Record<string, string> {
  const checks = checkHost(hostOf({ ...good, ...changed }), "/srv/claviger");
  return Object.fromEntries(checks.map(({ name, state }) => [name, state]));
}

test("a host that keeps what is in memory, and encrypts its disk, is well", () => {
  expect(statesOf({})).toEqual({
    swap: "ok",
    hibernation: "ok",
    "core dumps of generator": "ok",
    "disk encryption": "ok",
    "recovery shares": "ok",
  });
});

test.each([
  ["swap", { "/proc/swaps": "Filename\n/dev/sda2 partition 1\n" }],
  ["swap", { "/sys/block/dm-1/dm/uuid": "LVM-abc" }],
  ["hibernation", { "/sys/power/resume": "8:2\n" }],
  ["core dumps of generator", { "/proc/7/limits": "Max core file size 0 unlimited bytes\n" }],
  ["disk encryption", { "/sys/dev/block/253:0/dm/uuid": "LVM-abc" }],
] as const)("%s is a risk where %o, and the hint says what to do", (name, changed) => {
  expect(statesOf(changed)).toMatchObject({ [name]: "risk" });
  const check = checkHost(hostOf({ ...good, ...changed }), "/srv/claviger").find((one) => one.name === name);
  expect(check?.hint).toBeTruthy();
});

test("a database on a disk of its own is looked at by itself", () => {
  const mounts = `${good["/proc/self/mountinfo"]}4 2 8:3 / /srv/claviger/postgresql rw\n`;
  expect(statesOf({ "/proc/self/mountinfo": mounts })).toMatchObject({
    "disk encryption": "ok",
    "disk encryption of /srv/claviger/postgresql": "risk",
  });
});

test("what a host does not say is unknown, never well", () => {
  const checks = checkHost({ read: () => undefined, list: () => undefined }, "/srv/claviger");
  const states = checks.map(({ name, state }) => [name, state]);
  expect(states).toEqual([
    ["swap", "unknown"],
    ["hibernation", "unknown"],
    ["core dumps", "unknown"],
    ["disk encryption", "unknown"],
    ["recovery shares", "unknown"],
  ]);
  expect(statesOf({ "/proc/self/mountinfo": "1 0 0:5 / / rw\n" })).toMatchObject({
    "disk encryption": "unknown",
  });
});

test("shares of the recovery key that are still on the host are a risk, and named", () => {
  const checks = checkHost(hostOf(good, ["share-1.txt", "share-3.txt"]), "/srv/claviger");
  expect(checks.at(-1)).toMatchObject({ name: "recovery shares", state: "risk" });
  expect(checks.at(-1)!.detail).toContain("/srv/claviger/recovery: share-1.txt, share-3.txt");
});
