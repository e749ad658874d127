import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { DomainError } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import { type PartName, partNames } from "./parts.ts";

const run = promisify(execFile);
const attemptsMax = 20;
const attemptPauseMilliseconds = 250;

/** Under whom each part runs; undefined where everything runs under whoever started it. */
export type Accounts = Readonly<Record<PartName, Account | undefined>>;

/** As root: one system user for each part, made where it is missing. Otherwise nobody in particular. */
export async function ensureAccounts(): Promise<Accounts> {
  const accounts = {} as Record<PartName, Account | undefined>;
  const root = process.getuid?.() === 0;
  let known = root ? await systemUsers() : new Map<string, Account>();
  for (const part of partNames) {
    const user = `claviger-${part}`;
    if (root && !known.has(user)) {
      await createUser(user);
      known = await systemUsers();
    }
    accounts[part] = known.get(user);
  }
  return accounts;
}

async function systemUsers(): Promise<Map<string, Account>> {
  const users = new Map<string, Account>();
  for (const line of (await readFile("/etc/passwd", "utf8")).split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name !== undefined && uid !== undefined && gid !== undefined) {
      users.set(name, { uid: Number(uid), gid: Number(gid) });
    }
  }
  return users;
}

/** Another start, or the tests, may be making the same users: useradd then fails on its lock, or as a duplicate. */
async function createUser(user: string): Promise<void> {
  const options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
  for (let attempt = 1; ; attempt++) {
    try {
      await run("useradd", [...options, "--shell", "/usr/sbin/nologin", user], {
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      });
      return;
    } catch (cause) {
      if ((await systemUsers()).has(user)) return;
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
        throw new DomainError(
          "failed-precondition",
          `the system user ${user} cannot be made: there is no useradd`,
          {
            hint: `make the system users ${partNames.map((part) => `claviger-${part}`).join(", ")} by hand, or start as another user than root`,
            cause,
          },
        );
      }
      if (attempt === attemptsMax) {
        const said = String((cause as { stderr?: unknown }).stderr ?? cause).trim();
        throw new DomainError("unavailable", `the system user ${user} could not be made: ${said}`, {
          hint: "start as another user than root, or make the user by hand with useradd --system",
          cause,
        });
      }
    }
    await sleep(attemptPauseMilliseconds);
  }
}
