import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import {
  type CommonSettings,
  type DatabaseSettings,
  readCommonSettings,
  readDatabaseSettings,
} from "@claviger/service";

export interface StorageConfig extends CommonSettings {
  database: DatabaseSettings;
  sealKeyPath: string;
  auditKey: Buffer;
}

export function readConfig(environment: NodeJS.ProcessEnv): StorageConfig {
  return readSettings(environment, (reader) => {
    const common = readCommonSettings(reader);
    return {
      ...common,
      database: readDatabaseSettings(reader, common.directory),
      sealKeyPath: join(common.directory, "seal.key"),
      auditKey: readFileSync(join(common.directory, "audit.key")),
    };
  });
}
