import type { LeasedAccess } from "@claviger/access";
import type { Bus } from "@claviger/bus";
import type { KeyStore } from "./key-store.ts";

/**
 * Events carry no authority: they only make us read again what storage says. One that cannot be
 * read makes us read everything again.
 */
export function followEvents(options: {
  bus: Bus;
  keyStore: KeyStore;
  access: LeasedAccess;
  onKeyringRotated: (keyring: string | undefined) => void;
  /** Called once nothing of it is held here. */
  onDestroyed: (name: string) => void;
}): void {
  const { access, bus, keyStore, onDestroyed, onKeyringRotated } = options;
  bus.subscribe("claviger.events.storage.>", ({ subject, data }) => {
    if (subject.startsWith("claviger.events.storage.access.")) return access.invalidate();
    const name = subjectOf(data);
    if (subject === "claviger.events.storage.keyring.rotated") return onKeyringRotated(name);
    // What else becomes of a keyring changes nothing of what is held here.
    if (subject.startsWith("claviger.events.storage.keyring.")) return;
    if (name === undefined) keyStore.invalidateAll();
    else keyStore.invalidate(name);
    if (name !== undefined && subject === "claviger.events.storage.key.destroyed") onDestroyed(name);
  });
}

function subjectOf(data: Uint8Array): string | undefined {
  try {
    const { subject } = JSON.parse(Buffer.from(data).toString("utf8")) as { subject?: unknown };
    return typeof subject === "string" ? subject : undefined;
  } catch {
    return undefined;
  }
}
