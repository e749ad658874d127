export { type Accounts, ensureAccounts } from "./accounts.ts";
export type { Bootstrap, BootstrapOptions } from "./bootstrap.ts";
export { type Layout, layoutOf, stateDirectoryOf } from "./layout.ts";
export { endLeftovers, findLeftovers } from "./leftovers.ts";
export {
  databaseServiceNames,
  type PartName,
  partNames,
  type ServiceName,
  serviceNames,
} from "./parts.ts";
export { chooseFreeBlock, type Ports, portsOf } from "./ports.ts";
export { reachableCommand } from "./reachable.ts";
export { findPkcs11Module, serviceEnvironment, tokenEnvironment } from "./services.ts";
export { stopInstallation } from "./stop-installation.ts";
export { type Installation, type InstallationOptions, startInstallation } from "./supervisor.ts";
export { type SupervisorHandle, type SupervisorRequest, spawnSupervisor } from "./supervisor-client.ts";
export { type InstallationStatus, readSupervisorFile, runningInstallation } from "./supervisor-file.ts";
