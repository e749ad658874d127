import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import {
  addressText,
  type CommonSettings,
  type DatabaseSettings,
  readCommonSettings,
  readDatabaseSettings,
} from "@claviger/service";

export interface RotationConfig extends CommonSettings {
  database: DatabaseSettings;
  storageAddress: string;
  generatorAddress: string;
  auditKey: Buffer;
}

export function readConfig(environment: NodeJS.ProcessEnv): RotationConfig {
  return readSettings(environment, (reader) => {
    const common = readCommonSettings(reader);
    return {
      ...common,
      database: readDatabaseSettings(reader, common.directory),
      storageAddress: addressText(reader, "CLAVIGER_STORAGE_ADDRESS"),
      generatorAddress: addressText(reader, "CLAVIGER_GENERATOR_ADDRESS"),
      auditKey: readFileSync(join(common.directory, "audit.key")),
    };
  });
}
