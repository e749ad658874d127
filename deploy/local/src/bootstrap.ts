import type { Accounts } from "./accounts.ts";
import type { Layout } from "./layout.ts";
import type { Ports } from "./ports.ts";

export interface BootstrapOptions {
  layout: Layout;
  accounts: Accounts;
  ports: Ports;
  trustDomain: string;
  /** The clone and the Node, by paths that the services' uids can enter. */
  clone: string;
  node: string;
  /** What the generator's program needs to find the HSM, for the ceremony. */
  tokenEnvironment: Readonly<Record<string, string>>;
  onNotice: (message: string) => void;
}

/**
 * Makes what an installation has only once: token, recovery ceremony, certificates, administrator,
 * claviger.json. Called at each start before NATS and the services; idempotent, and quick when all is there.
 * The directories exist and have their owners; it gives what it writes to them.
 */
export type Bootstrap = (options: BootstrapOptions) => Promise<void>;

/** What bootstrap does once the services run: enrols the first administrator, writes down public trust. */
export type CompleteBootstrap = (
  options: Pick<BootstrapOptions, "layout" | "trustDomain" | "onNotice"> & {
    addresses: Readonly<Record<string, string>>;
    trustBundle: string;
  },
) => Promise<void>;
