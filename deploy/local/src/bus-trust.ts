import { chownSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TrustKeeper } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import { TlsIdentity } from "@claviger/identity";
import { type Account, writeOwnedFile } from "@claviger/owned-files";
import type { Layout } from "./layout.ts";

export interface BusTrust extends AsyncDisposable {
  identity: TlsIdentity;
  /** Resolves once nobody trusts the bootstrap CA any more: every part has renewed. */
  settled(): Promise<void>;
}

const settleMilliseconds = 60_000;
const lookMilliseconds = 50;

/** nats-server wants one file of roots: written before it starts, and whenever trust changes. */
export async function writeBusRoots(layout: Layout, account: Account | undefined): Promise<void> {
  const { material } = TlsIdentity.load(layout.nats.tls.directory);
  await writeOwnedFile(layout.nats.tls.bundle, material.trustBundle, { mode: 0o644, account });
}

/** What this host's own people trust follows the CAs too, also while nobody uses it. */
async function writeHostRoots(layout: Layout, trustBundle: string): Promise<void> {
  if (trustBundle === "") return;
  const administrators = join(layout.administratorDirectory, "bundle.pem");
  for (const path of [layout.trust.bundle, administrators]) {
    if (existsSync(path)) await writeOwnedFile(path, trustBundle, { mode: 0o644 });
  }
}

/**
 * Keeps the bus's certificate and roots current, since nats-server cannot itself: the same keeper that
 * runs inside every service, on the bus's identity, with a reload after each change.
 */
export function keepBusTrust(options: {
  layout: Layout;
  account: Account | undefined;
  trustDomain: string;
  distributionAddress: string;
  reload: () => void;
  onNotice: (message: string) => void;
}): BusTrust {
  const { account, layout, reload } = options;
  const { directory } = layout.nats.tls;
  const identity = TlsIdentity.load(directory);
  let writing: Promise<void> = Promise.resolve();
  identity.onChange(() => {
    if (account !== undefined) {
      for (const name of readdirSync(directory)) chownSync(join(directory, name), account.uid, account.gid);
    }
    writing = writing
      .then(() => writeBusRoots(layout, account))
      .then(reload)
      .then(() => writeHostRoots(layout, identity.trustBundle));
  });
  let lastTrouble = "";
  const keeper = new TrustKeeper({
    identity,
    trustDomain: options.trustDomain,
    distributionAddress: options.distributionAddress,
    onProgress: options.onNotice,
    onTrouble: (what) => {
      if (what !== lastTrouble) options.onNotice(what);
      lastTrouble = what;
    },
  });
  keeper.start();
  return {
    identity,
    async settled() {
      const deadline = performance.now() + settleMilliseconds;
      while (identity.trustsBootstrap && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, lookMilliseconds));
      }
      await writing;
      if (!identity.trustsBootstrap) return;
      throw new DomainError(
        "unavailable",
        `the services did not all renew within ${settleMilliseconds / 1000} s`,
        {
          hint: "log/*.log of the state directory say which of them waits for what",
        },
      );
    },
    async [Symbol.asyncDispose]() {
      await keeper[Symbol.asyncDispose]();
      await writing;
    },
  };
}
