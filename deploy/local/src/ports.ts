import { createServer } from "node:net";
import { DomainError } from "@claviger/domain-error";

export const defaultBasePort = 7400;
const blockStep = 100;
const blocksMax = 50;
const basePortMax = 65_000;

/** Every port of one installation, all on the loopback address. */
export interface Ports {
  storage: number;
  generator: number;
  distribution: number;
  rotation: number;
  audit: number;
  /** The one listener that asks for no client certificate: it serves Enroll alone. */
  enrollment: number;
  /** CRL, CA certificates, trust bundle. */
  publicHttp: number;
  nats: number;
  /** Names the database's Unix socket; nothing listens on TCP. */
  postgresql: number;
}

export function portsOf(basePort: number): Ports {
  return {
    storage: basePort + 1,
    generator: basePort + 2,
    distribution: basePort + 3,
    rotation: basePort + 4,
    audit: basePort + 5,
    enrollment: basePort + 13,
    nats: basePort + 22,
    publicHttp: basePort + 23,
    postgresql: basePort + 32,
  };
}

/** Reads CLAVIGER_BASE_PORT; undefined when it is not set. */
export function basePortFrom(environment: NodeJS.ProcessEnv): number | undefined {
  const text = environment.CLAVIGER_BASE_PORT;
  if (text === undefined || text === "") return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1024 || port > basePortMax) {
    throw new DomainError("invalid-argument", `CLAVIGER_BASE_PORT is ${JSON.stringify(text)}`, {
      hint: `set it to a number from 1024 to ${basePortMax}, or leave it unset for ${defaultBasePort}`,
    });
  }
  return port;
}

/** The ports of a block that some other process holds. */
export async function takenPorts(basePort: number): Promise<number[]> {
  const { postgresql: _socketOnly, ...listening } = portsOf(basePort);
  const numbers = Object.values(listening);
  const free = await Promise.all(numbers.map(isFree));
  return numbers.filter((_, index) => !free[index]);
}

/** The first block of ports from `basePort` on, in steps of 100, that is wholly free. */
export async function chooseFreeBlock(basePort: number): Promise<number> {
  for (let block = 0; block < blocksMax; block++) {
    const candidate = basePort + block * blockStep;
    if (candidate > basePortMax) break;
    if ((await takenPorts(candidate)).length === 0) return candidate;
  }
  throw new DomainError("unavailable", `no free block of ports was found from ${basePort} on`, {
    hint: "set CLAVIGER_BASE_PORT to a port below a free range",
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
