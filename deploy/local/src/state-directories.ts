import { ensureDirectory } from "@claviger/owned-files";
import type { Accounts } from "./accounts.ts";
import type { Layout } from "./layout.ts";
import { serviceNames } from "./parts.ts";

/** Makes every directory of the state directory, each closed to all but its owner where it can be. */
export async function ensureStateDirectories(layout: Layout, accounts: Accounts): Promise<void> {
  // Others pass through the state directory to their own; they cannot list it.
  const open = process.getuid?.() === 0 ? 0o711 : 0o700;
  await ensureDirectory(layout.stateDirectory, { mode: open });
  await ensureDirectory(layout.run.directory, { mode: 0o755 });
  await ensureDirectory(layout.logDirectory, { mode: 0o700 });
  await ensureDirectory(layout.trust.directory, { mode: 0o755 });
  await ensureDirectory(layout.administratorDirectory, { mode: 0o700 });
  await ensureDirectory(layout.recoveryDirectory, { mode: 0o700 });
  await ensureDirectory(layout.nats.directory, { mode: 0o700, account: accounts.nats });
  await ensureDirectory(layout.nats.tls.directory, { mode: 0o700, account: accounts.nats });
  for (const service of serviceNames) {
    await ensureDirectory(layout.serviceDirectory(service), { mode: 0o700, account: accounts[service] });
  }
}
