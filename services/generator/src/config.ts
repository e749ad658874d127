import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import { addressText, type CommonSettings, readCommonSettings } from "@claviger/service";
import { type Profile, profiles } from "./profile.ts";

export interface GeneratorConfig extends CommonSettings {
  storageAddress: string;
  modulePath: string;
  tokenLabel: string;
  pin: string;
  profile: Profile;
  auditKey: Buffer;
  /** Whether new keys may have an algorithm that is legacy. */
  admitLegacy: boolean;
  spoolPath: string;
}

export function readConfig(environment: NodeJS.ProcessEnv): GeneratorConfig {
  return readSettings(environment, (reader) => {
    const common = readCommonSettings(reader);
    return {
      ...common,
      storageAddress: addressText(reader, "CLAVIGER_STORAGE_ADDRESS"),
      modulePath: reader.text("CLAVIGER_PKCS11_MODULE"),
      tokenLabel: reader.text("CLAVIGER_PKCS11_TOKEN_LABEL", "claviger"),
      pin: reader.fileText("CLAVIGER_PKCS11_PIN_FILE", join(common.directory, "hsm.pin")),
      profile: reader.choice("CLAVIGER_PROFILE", profiles, "development"),
      admitLegacy: reader.text("CLAVIGER_LEGACY_ALGORITHMS", "refuse") === "admit",
      auditKey: readFileSync(join(common.directory, "audit.key")),
      spoolPath: join(common.directory, "audit-spool.db"),
    };
  });
}
