import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { DomainError } from "@claviger/domain-error";

/** One name for all installations: the mount namespace makes each see its own there. */
const mountPoint = "/run/claviger";
const othersMayEnter = 0o001;
const othersMayRead = 0o004;

export interface Command {
  program: string;
  arguments: string[];
  directory: string;
  environment: NodeJS.ProcessEnv;
}

export interface ReachableRequest {
  clone: string;
  /** Has to exist. */
  stateDirectory: string;
  /** A TypeScript file of the clone, relative to it, and its arguments; they may not hold paths. */
  entry: string;
  arguments: readonly string[];
  environment: NodeJS.ProcessEnv;
}

/**
 * The command that runs a program of the clone so that its children with other uids can reach the clone
 * and the state directory.
 *
 * Mostly that is simply Node with the program. As root in a clone below a directory that others cannot
 * enter (/root, or a `mktemp -d`), it is the same in a mount namespace of its own, where both also lie
 * below /run/claviger. The program is told where its state is with `--state` and, for what it has to
 * agree on with processes outside, `--known-as`.
 */
export function reachableCommand(request: ReachableRequest): Command {
  const clone = realpathSync(request.clone);
  const state = realpathSync(request.stateDirectory);
  const node = realpathSync(process.execPath);
  const stays = { directory: clone, environment: request.environment };
  const argumentsFor = (root: string, stateThere: string) => [
    join(root, request.entry),
    "--state",
    stateThere,
    "--known-as",
    state,
    ...request.arguments,
  ];
  if (process.getuid?.() !== 0) return { ...stays, program: node, arguments: argumentsFor(clone, state) };
  refuseUnreadable(clone);
  const nodeInClone = isBelow(node, clone);
  if (!nodeInClone && !canEnter(dirname(node))) {
    throw new DomainError("failed-precondition", `the services' users cannot execute ${node}`, {
      hint: "start with npm start, which gets a Node of its own, or install Node 24 where all users can reach it",
    });
  }
  // The state directory itself is opened at start; what counts is the way to it.
  if (canEnter(clone) && canEnter(dirname(state))) {
    return { ...stays, program: node, arguments: argumentsFor(clone, state) };
  }
  const there = join(mountPoint, "clone");
  const moved = (path: string) => (isBelow(path, clone) ? join(there, relative(clone, path)) : path);
  const environment = { ...request.environment };
  const nats = environment.CLAVIGER_NATS_SERVER;
  if (nats !== undefined) environment.CLAVIGER_NATS_SERVER = moved(nats);
  return {
    program: "unshare",
    arguments: [
      ...unshareOptions(clone),
      "sh",
      join(clone, "deploy/local/namespace.sh"),
      mountPoint,
      clone,
      state,
      moved(node),
      ...argumentsFor(there, join(mountPoint, "state")),
    ],
    directory: clone,
    environment,
  };
}

/** Tries whether we may have a mount namespace with a mount in it that others do not see, and how. */
function unshareOptions(clone: string): string[] {
  let refusal: unknown;
  // In a chroot whose root is no mount point, unshare cannot set the propagation: there it stays as it is.
  for (const propagation of ["private", "unchanged"]) {
    const options = ["--mount", "--propagation", propagation];
    try {
      mkdirSync(mountPoint, { recursive: true, mode: 0o755 });
      const before = statSync(mountPoint).ino;
      execFileSync("unshare", [...options, "mount", "-t", "tmpfs", "claviger", mountPoint], {
        stdio: "pipe",
      });
      if (statSync(mountPoint).ino === before) return options;
      execFileSync("umount", [mountPoint], { stdio: "pipe" });
      refusal = new Error("a mount in the namespace was seen outside it");
    } catch (cause) {
      refusal = cause;
    }
  }
  const closed = closedDirectory(clone) ?? clone;
  throw new DomainError("failed-precondition", `the services' own users cannot enter ${closed}`, {
    hint: `move the clone to where all users can enter, /srv for example, or run: chmod o+x ${closed}; a private view of it, which needs unshare and CAP_SYS_ADMIN, was refused`,
    cause: refusal,
  });
}

/** A clone made with umask 077 cannot be read by the services wherever it is shown to them. */
function refuseUnreadable(clone: string): void {
  const directories = ["deploy/local/src", "node_modules", "services", "packages", "proto"];
  const files = ["package.json", "deploy/local/src/supervise.ts", "node_modules/pg/package.json"];
  for (const group of ["services", "packages"]) {
    if (!existsSync(join(clone, group))) continue;
    for (const name of readdirSync(join(clone, group))) files.push(join(group, name, "package.json"));
  }
  const closed = [
    ...directories.filter((path) => lacks(join(clone, path), othersMayRead | othersMayEnter)),
    ...files.filter((path) => lacks(join(clone, path), othersMayRead)),
  ];
  if (closed.length === 0) return;
  throw new DomainError(
    "failed-precondition",
    `the services' own users cannot read the clone: ${closed[0]} is closed to them`,
    {
      hint: `run in the clone: chmod -R go+rX bin deploy node_modules packages proto services package.json`,
    },
  );
}

function lacks(path: string, bits: number): boolean {
  return existsSync(path) && (statSync(path).mode & bits) !== bits;
}

function canEnter(directory: string): boolean {
  return closedDirectory(directory) === undefined;
}

/** The first directory on the way to this one, itself included, that other users cannot enter. */
function closedDirectory(directory: string): string | undefined {
  let path = "";
  for (const name of directory.split(sep)) {
    path = name === "" ? sep : join(path, name);
    if (lacks(path, othersMayEnter)) return path;
  }
  return undefined;
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}${sep}`);
}
