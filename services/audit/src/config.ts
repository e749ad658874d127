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

export interface AuditConfig extends CommonSettings {
  database: DatabaseSettings;
  storageAddress: string;
  generatorAddress: string;
  auditKey: Buffer;
  /** The key that each writing service shares with the log, by its name. */
  writerKeys: ReadonlyMap<string, Buffer>;
}

const writers = ["storage", "generator", "distribution", "rotation", "audit"];

export function readConfig(environment: NodeJS.ProcessEnv): AuditConfig {
  return readSettings(environment, (reader) => {
    const common = readCommonSettings(reader);
    return {
      ...common,
      database: readDatabaseSettings(reader, common.directory),
      storageAddress: addressText(reader, "CLAVIGER_STORAGE_ADDRESS"),
      generatorAddress: addressText(reader, "CLAVIGER_GENERATOR_ADDRESS"),
      auditKey: readFileSync(join(common.directory, "audit.key")),
      writerKeys: new Map(
        writers.map((writer) => [writer, readFileSync(join(common.directory, "keys", `${writer}.key`))]),
      ),
    };
  });
}
