import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { DomainError } from "@claviger/domain-error";

export const serviceNames = ["storage", "generator", "distribution", "rotation", "audit"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** The five services, the listener that serves Enroll alone, and the read-only HTTP. */
export const addressNames = [...serviceNames, "enrollment", "http"] as const;
export type AddressName = (typeof addressNames)[number];

/** `host:port` each. An identity that joined by a token may know only some. */
export type Addresses = Partial<Record<AddressName, string>>;

/** What `claviger.json` says. */
export interface ClavigerConfig {
  /** Absolute. */
  path: string;
  trustDomain: string;
  addresses: Addresses;
  /** Absolute: holds key.pem, cert.pem and bundle.pem. */
  identityDirectory: string;
}

const fileName = "claviger.json";
const stateDirectoryName = ".claviger";
const configBytesMax = 64 * 1024;
const addressPattern = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/;
/** The clone that this package lies in. */
const clone = resolve(import.meta.dirname, "../../..");

const howToGetOne =
  "on this machine `npm start` makes one; elsewhere: claviger identities join --token-file F --out DIR";

export interface ConfigLookup {
  /** A path given by the user wins. */
  path?: string | undefined;
  environment?: NodeJS.ProcessEnv;
  workingDirectory?: string;
}

/**
 * Where `claviger.json` is: the path given, `$CLAVIGER_CONFIG`, the state directory that
 * `$CLAVIGER_STATE` names, the nearest `.claviger` from the working directory upwards, or the clone's.
 *
 * @throws DomainError `invalid-argument` where a path that was given names no file, `unavailable`
 * where there is none at all.
 */
export function findConfigFile(lookup: ConfigLookup = {}): string {
  const { path, environment = process.env, workingDirectory = process.cwd() } = lookup;
  const given = [
    { path, by: "--config" },
    { path: environment.CLAVIGER_CONFIG, by: "CLAVIGER_CONFIG" },
  ].find((candidate) => candidate.path !== undefined && candidate.path !== "");
  if (given?.path !== undefined) return resolve(workingDirectory, requireFile(given.path, given.by));
  const state = environment.CLAVIGER_STATE;
  const candidates = [
    ...(state === undefined || state === "" ? [] : [join(resolve(workingDirectory, state), fileName)]),
    ...upwards(workingDirectory).map((directory) => join(directory, stateDirectoryName, fileName)),
    join(clone, stateDirectoryName, fileName),
  ];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found !== undefined) return found;
  throw new DomainError("unavailable", `no ${fileName} was found from ${workingDirectory} upwards`, {
    hint: howToGetOne,
  });
}

function requireFile(path: string, by: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  throw new DomainError("invalid-argument", `${path}, which ${by} names, is not a file`, {
    hint: `name a ${fileName}; ${howToGetOne}`,
  });
}

function upwards(directory: string): string[] {
  const parent = dirname(directory);
  return parent === directory ? [directory] : [directory, ...upwards(parent)];
}

/**
 * Reads and checks one `claviger.json`.
 * @throws DomainError `invalid-argument`, naming the file and what is wrong with it
 */
export function readConfigFile(path: string): ClavigerConfig {
  const refuse = (problem: string, cause?: unknown): never => {
    throw new DomainError("invalid-argument", `${path} ${problem}`, { hint: howToGetOne, cause });
  };
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    return refuse("cannot be read", cause);
  }
  if (text.length > configBytesMax) return refuse(`is larger than ${configBytesMax} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    return refuse("is not JSON", cause);
  }
  if (!isObject(parsed)) return refuse("is not a JSON object");
  const { version, trustDomain, addresses, identity } = parsed;
  if (version !== 1) return refuse("is not of version 1");
  if (typeof trustDomain !== "string" || trustDomain === "") return refuse("names no trustDomain");
  if (typeof identity !== "string" || identity === "") return refuse("names no identity directory");
  if (!isObject(addresses)) return refuse("has no addresses");
  const problem = addressProblem(addresses);
  if (problem !== undefined) return refuse(problem);
  const identityDirectory = resolve(dirname(path), identity);
  return { path: resolve(path), trustDomain, addresses: addresses as Addresses, identityDirectory };
}

function addressProblem(addresses: Record<string, unknown>): string | undefined {
  for (const name of addressNames) {
    const address = addresses[name];
    if (address !== undefined && !isAddress(address))
      return `has an address of ${name} that is not host:port`;
  }
  return undefined;
}

export function isAddress(value: unknown): value is string {
  return typeof value === "string" && value.length <= 300 && addressPattern.test(value);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What `claviger.json` holds, as text; the identity lies in the same directory. */
export function formatConfig(trustDomain: string, addresses: Addresses): string {
  return `${JSON.stringify({ version: 1, trustDomain, addresses, identity: "." }, null, 2)}\n`;
}
