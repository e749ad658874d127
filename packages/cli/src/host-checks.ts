/** What of a host could carry keys out of the generator's memory, or lies unprotected beneath its files. */
export interface HostCheck {
  name: string;
  /** `unknown`: this host does not say. */
  state: "ok" | "risk" | "unknown";
  detail: string;
  /** What to do about a risk. */
  hint?: string;
}

/** How the checks see the host; paths are absolute. */
export interface HostReader {
  /** Undefined where the file is not there or may not be read. */
  read(path: string): string | undefined;
  /** Undefined where the directory is not there or may not be read. */
  list(path: string): string[] | undefined;
}

const servicePattern = /services\/(storage|generator|distribution|rotation|audit)\/src\/main\.ts/;

/** For Linux: what other systems do not tell comes back as `unknown`. */
export function checkHost(host: HostReader, stateDirectory: string): HostCheck[] {
  return [
    checkSwap(host),
    checkHibernation(host),
    ...checkCoreDumps(host),
    ...checkDisks(host, stateDirectory),
    checkCustody(host, stateDirectory),
  ];
}

function checkSwap(host: HostReader): HostCheck {
  const name = "swap";
  const text = host.read("/proc/swaps");
  if (text === undefined) return unknown(name, "/proc/swaps cannot be read");
  const devices = text
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s/)[0] ?? "")
    .filter((device) => device !== "");
  const exposed = devices.filter((device) => !isInMemory(device) && !isEncryptedDevice(host, device));
  if (devices.length === 0) return { name, state: "ok", detail: "none" };
  if (exposed.length === 0)
    return { name, state: "ok", detail: `in memory or encrypted: ${devices.join(", ")}` };
  return {
    name,
    state: "risk",
    detail: `keys in memory may be written to ${exposed.join(", ")}`,
    hint: "swapoff -a, and take it out of /etc/fstab; or put it on an encrypted device",
  };
}

function isInMemory(device: string): boolean {
  return /^\/dev\/zram\d+$/.test(device);
}

function isEncryptedDevice(host: HostReader, device: string): boolean {
  const node = /^\/dev\/(dm-\d+)$/.exec(device)?.[1];
  return node !== undefined && isCrypt(host.read(`/sys/block/${node}/dm/uuid`));
}

function isCrypt(uuid: string | undefined): boolean {
  return uuid?.startsWith("CRYPT-") === true;
}

function checkHibernation(host: HostReader): HostCheck {
  const name = "hibernation";
  const states = host.read("/sys/power/state");
  if (states === undefined) return unknown(name, "/sys/power/state cannot be read");
  const possible = states.split(/\s+/).includes("disk");
  const resumesFrom = host.read("/sys/power/resume")?.trim() ?? "0:0";
  if (!possible || resumesFrom === "0:0") {
    return { name, state: "ok", detail: possible ? "there is no device to resume from" : "not possible" };
  }
  return {
    name,
    state: "risk",
    detail: "the whole memory, keys and all, would be written to the disk",
    hint: "systemctl mask hibernate.target hybrid-sleep.target",
  };
}

function checkCoreDumps(host: HostReader): HostCheck[] {
  const checks = (host.list("/proc") ?? [])
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      const line = host.read(`/proc/${pid}/cmdline`)?.split("\0") ?? [];
      const service = line.map((word) => servicePattern.exec(word)?.[1]).find((found) => found !== undefined);
      // The shell or namespace tool that started it has the same words on its line.
      const isNode = /(^|\/)node$/.test(line[0] ?? "");
      return service === undefined || !isNode ? [] : [checkCoreDumpsOf(host, service, pid)];
    });
  return checks.length > 0 ? checks : [unknown("core dumps", "no service of Claviger runs on this host")];
}

function checkCoreDumpsOf(host: HostReader, service: string, pid: string): HostCheck {
  const name = `core dumps of ${service}`;
  const limits = host.read(`/proc/${pid}/limits`);
  const hard = /^Max core file size\s+(\S+)\s+(\S+)/m.exec(limits ?? "")?.[2];
  if (hard === undefined) return unknown(name, `the limits of process ${pid} cannot be read`);
  if (hard === "0") return { name, state: "ok", detail: "none are written" };
  return {
    name,
    state: "risk",
    detail: `process ${pid} may leave its memory in a file`,
    hint: "start it as npm start does, with `ulimit -c 0`, or LimitCORE=0 in its unit",
  };
}

interface Mount {
  device: string;
  point: string;
}

/** The device that carries the state directory, and each that is mounted inside: the database's, the bus's. */
function checkDisks(host: HostReader, directory: string): HostCheck[] {
  const mounts: Mount[] = (host.read("/proc/self/mountinfo") ?? "")
    .split("\n")
    .map((line) => line.split(" "))
    .map(([, , device = "", , point = ""]) => ({ device, point }))
    .filter(({ point }) => point !== "");
  const carrying = mounts
    .filter(({ point }) => isWithin(directory, point))
    .reduce<Mount | undefined>(
      (best, one) => (best === undefined || one.point.length >= best.point.length ? one : best),
      undefined,
    );
  const inside = mounts.filter(({ point }) => point !== directory && isWithin(point, directory));
  return [
    checkDisk(host, carrying, directory, "disk encryption"),
    ...inside.map((mount) => checkDisk(host, mount, mount.point, `disk encryption of ${mount.point}`)),
  ];
}

/** LUKS and dm-crypt say so of themselves. */
function checkDisk(host: HostReader, mount: Mount | undefined, directory: string, name: string): HostCheck {
  if (mount === undefined) return unknown(name, `what carries ${directory} cannot be found`);
  if (mount.device.startsWith("0:")) {
    return unknown(name, `${mount.point} is no disk of this host's own: ask whoever runs what is beneath`);
  }
  if (isCrypt(host.read(`/sys/dev/block/${mount.device}/dm/uuid`))) {
    return { name, state: "ok", detail: `${mount.point} is on dm-crypt` };
  }
  return {
    name,
    state: "risk",
    detail: `${mount.point}, which carries ${directory}, is not encrypted by this host`,
    hint: "put it on LUKS; if the platform encrypts beneath, keep its evidence",
  };
}

/** Shares of the recovery key are for custodians: together, beside what they open, they are no custody. */
function checkCustody(host: HostReader, stateDirectory: string): HostCheck {
  const name = "recovery shares";
  const directory = `${stateDirectory}/recovery`;
  const files = host.list(directory);
  if (files === undefined) return unknown(name, `${directory} cannot be read`);
  const later = files.filter((name) => /^[0-9a-f]{16}$/.test(name));
  const inside = later.flatMap((name) =>
    (host.list(`${directory}/${name}`) ?? []).map((file) => `${name}/${file}`),
  );
  const shares = [...files, ...inside].filter((file) => /(^|\/)share-\d+\.txt$/.test(file));
  if (shares.length === 0) return { name, state: "ok", detail: "none on this host" };
  return {
    name,
    state: "risk",
    detail: `still in ${directory}: ${shares.join(", ")}`,
    hint: "give each to another custodian, and delete it here",
  };
}

function isWithin(path: string, point: string): boolean {
  return path === point || path.startsWith(point.endsWith("/") ? point : `${point}/`);
}

function unknown(name: string, detail: string): HostCheck {
  return { name, state: "unknown", detail };
}
