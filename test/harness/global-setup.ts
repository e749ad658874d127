import type { TestProject } from "vitest/node";
import { type InstallationAddress, SharedInstallation } from "./shared-installation.ts";

declare module "vitest" {
  interface ProvidedContext {
    installation: InstallationAddress;
  }
}

/** vitest loads this file once for each project that names it; the process is the same. */
interface Sharing {
  users: number;
  started: Promise<SharedInstallation> | undefined;
}

const sharingKey = Symbol.for("claviger.test.installation");
const registry = globalThis as unknown as Record<symbol, Sharing | undefined>;

/** Starts the installation for the first project that wants it, and stops it after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  registry[sharingKey] ??= { users: 0, started: undefined };
  const sharing = registry[sharingKey];
  sharing.users += 1;
  sharing.started ??= SharedInstallation.start();
  const installation = await sharing.started;
  project.provide("installation", installation.address);
  return async () => {
    sharing.users -= 1;
    if (sharing.users > 0) return;
    registry[sharingKey] = undefined;
    if (project.vitest.state.getCountOfFailedTests() > 0) console.error(installation.logTails());
    await installation[Symbol.asyncDispose]();
  };
}
