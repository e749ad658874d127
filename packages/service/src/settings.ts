import { join } from "node:path";
import type { SettingsReader } from "@claviger/config";

/** What every service is told by its environment. */
export interface CommonSettings {
  trustDomain: string;
  /** The service's own directory: `tls/`, `audit.key`, and what else is its alone. */
  directory: string;
  tlsDirectory: string;
  /** `host:port`. */
  listen: string;
  natsUrl: string;
  distributionAddress: string;
  leaseMilliseconds: number;
}

export interface DatabaseSettings {
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
}

const leaseMillisecondsDefault = 10_000;

export function readCommonSettings(reader: SettingsReader): CommonSettings {
  const directory = reader.text("CLAVIGER_DIRECTORY");
  return {
    trustDomain: reader.text("CLAVIGER_TRUST_DOMAIN"),
    directory,
    tlsDirectory: join(directory, "tls"),
    listen: addressText(reader, "CLAVIGER_LISTEN"),
    natsUrl: reader.text("CLAVIGER_NATS_URL"),
    distributionAddress: addressText(reader, "CLAVIGER_DISTRIBUTION_ADDRESS"),
    leaseMilliseconds: reader.integer("CLAVIGER_LEASE_MILLISECONDS", {
      min: 1000,
      max: 60_000,
      fallback: leaseMillisecondsDefault,
    }),
  };
}

export function readDatabaseSettings(reader: SettingsReader, directory: string): DatabaseSettings {
  return {
    host: reader.text("CLAVIGER_DATABASE_HOST"),
    port: reader.integer("CLAVIGER_DATABASE_PORT", { min: 1, max: 65_535 }),
    database: reader.text("CLAVIGER_DATABASE_NAME"),
    user: reader.text("CLAVIGER_DATABASE_USER"),
    password: reader.fileText("CLAVIGER_DATABASE_PASSWORD_FILE", join(directory, "database.password")),
  };
}

export function addressText(reader: SettingsReader, name: string): string {
  const { host, port } = reader.address(name);
  return `${host}:${port}`;
}
