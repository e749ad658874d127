import type { Account } from "@claviger/owned-files";

/** Claviger's own identities: the services, and the bus as a server. */
export const certifiedParts = ["storage", "generator", "distribution", "rotation", "audit", "nats"] as const;
export type CertifiedPart = (typeof certifiedParts)[number];

export const serviceNames = ["storage", "generator", "distribution", "rotation", "audit"] as const;

/** The paths that bootstrap writes to; deploy/local's layout has them all. */
export interface BootstrapLayout {
  stateDirectory: string;
  configurationFile: string;
  trust: { directory: string; bundle: string };
  administratorDirectory: string;
  recoveryDirectory: string;
  nats: { tls: { directory: string } };
  serviceDirectory(service: (typeof serviceNames)[number]): string;
}

export interface BootstrapOptions {
  layout: BootstrapLayout;
  accounts: Readonly<Record<CertifiedPart, Account | undefined>>;
  ports: Readonly<Record<(typeof serviceNames)[number] | "enrollment" | "publicHttp", number>>;
  trustDomain: string;
  /** The clone and the Node, by paths that the services' uids can enter. */
  clone: string;
  node: string;
  /** What the generator's program needs to find the HSM, for the ceremony. */
  tokenEnvironment: Readonly<Record<string, string>>;
  onNotice: (message: string) => void;
  /** Certify all parts anew, whether or not their certificates have expired. */
  renew?: boolean;
  /** The serial of a token that takes the place of the one before. */
  acceptToken?: string | undefined;
}

export function tlsDirectoryOf(options: BootstrapOptions, part: CertifiedPart): string {
  return part === "nats" ? options.layout.nats.tls.directory : `${options.layout.serviceDirectory(part)}/tls`;
}
