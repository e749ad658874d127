import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import { DomainError } from "@claviger/domain-error";
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
  /** Names of issuing CAs and the algorithm of each one's key; "issuing" is always among them. */
  issuingAlgorithms: Readonly<Record<string, string>>;
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
      issuingAlgorithms: readIssuingAlgorithms(reader.text("CLAVIGER_ISSUING_CAS", "issuing=ecdsa-p256")),
    };
  });
}

const issuingAlgorithmsKnown = ["ecdsa-p256", "ecdsa-p384", "rsa-pkcs1-3072", "rsa-pkcs1-4096"];
const issuingAuthoritiesMax = 10;

/** `issuing=ecdsa-p256,issuing-rsa=rsa-pkcs1-3072`. A name does not end in a number: generations have those. */
export function readIssuingAlgorithms(text: string): Record<string, string> {
  const entries = text.split(",").map((entry) => entry.trim().split("="));
  for (const [name = "", algorithm = "", ...more] of entries) {
    if (!/^issuing(-[a-z0-9]*[a-z][a-z0-9]*)*$/.test(name) || name.length > 40 || more.length > 0) {
      throw new DomainError(
        "invalid-argument",
        `CLAVIGER_ISSUING_CAS: "${name}" is not the name of an issuing CA`,
        {
          hint: "names are issuing, and issuing-rsa, issuing-devices and the like",
        },
      );
    }
    if (!issuingAlgorithmsKnown.includes(algorithm)) {
      throw new DomainError(
        "invalid-argument",
        `CLAVIGER_ISSUING_CAS: ${name} has no algorithm that CAs sign with`,
        {
          hint: `one of ${issuingAlgorithmsKnown.join(", ")}`,
        },
      );
    }
  }
  if (
    entries.length > issuingAuthoritiesMax ||
    new Set(entries.map(([name]) => name)).size < entries.length
  ) {
    throw new DomainError(
      "invalid-argument",
      `CLAVIGER_ISSUING_CAS names at most ${issuingAuthoritiesMax} CAs, each once`,
    );
  }
  return { issuing: "ecdsa-p256", ...Object.fromEntries(entries) };
}
