import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import {
  addressText,
  type CommonSettings,
  type DatabaseSettings,
  readCommonSettings,
  readDatabaseSettings,
} from "@claviger/service";

export interface DistributionConfig extends CommonSettings {
  database: DatabaseSettings;
  storageAddress: string;
  generatorAddress: string;
  enrollmentListen: string;
  httpListen: string;
  /** What certificates and tokens say about where public artefacts are. */
  publicHttpAddress: string;
  publicEnrollmentAddress: string;
  auditKey: Buffer;
  /** Host names and addresses that Claviger's own services are reached by. */
  serviceHosts: readonly string[];
  /** SHA-256 of the first administrator's enrolment secret, as bootstrap made it. */
  firstAdministratorHash: string | undefined;
}

export function readConfig(environment: NodeJS.ProcessEnv): DistributionConfig {
  return readSettings(environment, (reader) => {
    const common = readCommonSettings(reader);
    const httpListen = addressText(reader, "CLAVIGER_HTTP_LISTEN");
    const enrollmentListen = addressText(reader, "CLAVIGER_ENROLLMENT_LISTEN");
    const invitation = join(common.directory, "first-administrator.sha256");
    return {
      ...common,
      database: readDatabaseSettings(reader, common.directory),
      storageAddress: addressText(reader, "CLAVIGER_STORAGE_ADDRESS"),
      generatorAddress: addressText(reader, "CLAVIGER_GENERATOR_ADDRESS"),
      enrollmentListen,
      httpListen,
      publicHttpAddress: reader.text("CLAVIGER_PUBLIC_HTTP_ADDRESS", httpListen),
      publicEnrollmentAddress: reader.text("CLAVIGER_PUBLIC_ENROLLMENT_ADDRESS", enrollmentListen),
      auditKey: readFileSync(join(common.directory, "audit.key")),
      serviceHosts: reader.text("CLAVIGER_SERVICE_HOSTS", "localhost,127.0.0.1").split(","),
      firstAdministratorHash: existsSync(invitation) ? readFileSync(invitation, "utf8").trim() : undefined,
    };
  });
}
