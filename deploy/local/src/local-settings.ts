import { DomainError } from "@claviger/domain-error";
import { readIfThere, writeOwnedFile } from "@claviger/owned-files";
import type { Layout } from "./layout.ts";
import { chooseFreeBlock, defaultBasePort, takenPorts } from "./ports.ts";

const defaultTrustDomain = "claviger.internal";

/** What the launcher keeps in local.json, so that the second start is like the first. */
export interface LocalSettings {
  version: 1;
  basePort: number;
  trustDomain: string;
  /** When the installation first became ready; absent until then. */
  firstReadyAt?: string;
}

export async function readSettings(layout: Layout): Promise<LocalSettings | undefined> {
  const text = await readIfThere(layout.settingsFile);
  if (text === undefined) return undefined;
  try {
    const settings = JSON.parse(text) as LocalSettings;
    if (
      settings.version === 1 &&
      Number.isInteger(settings.basePort) &&
      typeof settings.trustDomain === "string"
    ) {
      return settings;
    }
  } catch {
    // Said below, like every other content that is not ours.
  }
  throw new DomainError("integrity", `${layout.settingsFile} does not hold the launcher's settings`, {
    hint: 'write {"version":1,"basePort":7400,"trustDomain":"…"} with the installation\'s own values, or npm run reset',
  });
}

export async function writeSettings(layout: Layout, settings: LocalSettings): Promise<void> {
  await writeOwnedFile(layout.settingsFile, `${JSON.stringify(settings, undefined, 2)}\n`, { mode: 0o644 });
}

export interface SettingsRequest {
  layout: Layout;
  /** What the operator asked for; undefined for the remembered, or the default. */
  basePort: number | undefined;
  trustDomain: string | undefined;
  onNotice: (message: string) => void;
}

/** The settings for this start: remembered ones, or chosen now on the first start. */
export async function decideSettings(request: SettingsRequest): Promise<LocalSettings> {
  const { layout, onNotice } = request;
  const known = await readSettings(layout);
  if (known !== undefined && request.trustDomain !== undefined && request.trustDomain !== known.trustDomain) {
    throw new DomainError("failed-precondition", `this installation's trust domain is ${known.trustDomain}`, {
      hint: "a trust domain is in every certificate and cannot be changed; use another state directory ($CLAVIGER_STATE)",
    });
  }
  if (known !== undefined && (request.basePort === undefined || request.basePort === known.basePort)) {
    const taken = await takenPorts(known.basePort);
    if (taken.length === 0) return known;
    throw new DomainError("unavailable", `other programs hold port ${taken.join(", ")} on 127.0.0.1`, {
      hint: `end them, or move this installation: CLAVIGER_BASE_PORT=${await chooseFreeBlock(known.basePort + 100)} npm start`,
    });
  }
  const wanted = request.basePort ?? defaultBasePort;
  const basePort = await chooseFreeBlock(wanted);
  if (basePort !== wanted) onNotice(`ports from ${wanted} on are taken: using ${basePort} and up`);
  const settings = {
    version: 1 as const,
    trustDomain: request.trustDomain ?? defaultTrustDomain,
    ...known,
    basePort,
  };
  await writeSettings(layout, settings);
  return settings;
}
