import { DomainError } from "@claviger/domain-error";
import type { CertificateSigningRequest, ExtendedKeyUsageName, SubjectAltName } from "@claviger/x509";
import { issuingName } from "./authorities.ts";
import { checkNameKind, nameKinds } from "./name-rules.ts";
import { type CertifiedNames, type Profile, profiles, refuseSpiffe } from "./profiles.ts";
import type { ProfileRow } from "./store/profiles.ts";

export const keyFamilies = ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa"];
const usages: readonly ExtendedKeyUsageName[] = ["serverAuth", "clientAuth"];
const lifetimeSecondsMin = 300;
const lifetimeSecondsMax = 398 * 86_400;

export interface WantedProfile {
  name: string;
  authority: string;
  keyTypes: readonly string[];
  extendedKeyUsages: readonly string[];
  nameKinds: readonly string[];
  lifetimeSecondsDefault: number;
  lifetimeSecondsMax: number;
}

/** @throws DomainError `invalid-argument` for what a profile cannot be */
export function checkCustomProfile(wanted: WantedProfile): Omit<ProfileRow, "createdBy" | "createdAt"> {
  const { name } = wanted;
  if (!/^[a-z][a-z0-9-]{0,39}$/.test(name)) {
    throw new DomainError("invalid-argument", "a profile's name has lower-case letters, digits and hyphens");
  }
  if (Object.hasOwn(profiles, name)) {
    throw new DomainError("already-exists", `the profile ${name} is Claviger's own, and stays as it is`);
  }
  const lifetimeMax = wanted.lifetimeSecondsMax;
  const lifetimeDefault = wanted.lifetimeSecondsDefault || lifetimeMax;
  const isInBounds = lifetimeMax <= lifetimeSecondsMax && lifetimeDefault <= lifetimeMax;
  if (!isInBounds || lifetimeDefault < lifetimeSecondsMin) {
    throw new DomainError(
      "invalid-argument",
      "a certificate lives 5 minutes to 398 days, and by default no longer",
    );
  }
  return {
    name,
    authority: wanted.authority || issuingName,
    keyTypes: subset(wanted.keyTypes, keyFamilies, "key type").join(","),
    extendedKeyUsage: subset(wanted.extendedKeyUsages, usages, "extended key usage").join(","),
    nameKinds: subset(wanted.nameKinds, nameKinds, "kind of name").join(","),
    lifetimeSecondsDefault: lifetimeDefault,
    lifetimeSecondsMax: lifetimeMax,
  };
}

/** In the order in which they are known; all where none is named. */
function subset(chosen: readonly string[], known: readonly string[], what: string): readonly string[] {
  const stranger = chosen.find((one) => !known.includes(one));
  if (stranger !== undefined) {
    throw new DomainError("invalid-argument", `"${stranger.slice(0, 40)}" is not a ${what}`, {
      hint: `one of ${known.join(", ")}`,
    });
  }
  return chosen.length === 0 ? known : known.filter((one) => chosen.includes(one));
}

export function customProfile(row: ProfileRow): Profile {
  return {
    extendedKeyUsage: row.extendedKeyUsage.split(",") as ExtendedKeyUsageName[],
    lifetimeSecondsDefault: row.lifetimeSecondsDefault,
    lifetimeSecondsMax: row.lifetimeSecondsMax,
  };
}

/** What of a request's names the profile certifies. @throws DomainError naming what it does not admit */
export function customNames(row: ProfileRow, request: CertificateSigningRequest): CertifiedNames {
  const { commonName } = request.subject;
  const names = request.subjectAltNames;
  refuseSpiffe(names, row.name);
  const admitted = row.nameKinds.split(",");
  const stranger = names.find((name) => !admitted.includes(checkNameKind(Object.keys(name)[0] ?? "")));
  if (stranger !== undefined || names.length === 0) {
    throw new DomainError(
      "invalid-argument",
      names.length === 0
        ? "the request has no subject alternative name"
        : `profile ${row.name} admits names of the kinds ${admitted.join(", ")}, and ${textOf(stranger)} is none`,
    );
  }
  if (commonName !== undefined && !names.some((name) => Object.values(name).includes(commonName))) {
    throw new DomainError(
      "invalid-argument",
      `the common name ${commonName} is not among the alternative names`,
    );
  }
  return {
    subject: commonName === undefined ? {} : { commonName },
    subjectAltNames: names,
    identity: undefined,
  };
}

function textOf(name: SubjectAltName | undefined): string {
  const [[kind, value] = ["", ""]] = Object.entries(name ?? {});
  return `${kind}:${value}`;
}

/** @throws DomainError `invalid-argument` */
export function requireKeyType(row: ProfileRow, keyType: string): void {
  const family = keyType.startsWith("rsa-") ? "rsa" : keyType;
  const admitted = row.keyTypes.split(",");
  if (admitted.includes(family)) return;
  throw new DomainError("invalid-argument", `profile ${row.name} does not admit a key of type ${keyType}`, {
    hint: `it admits ${admitted.join(", ")}`,
  });
}
