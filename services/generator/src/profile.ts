import { DomainError } from "@claviger/domain-error";

/** `production` refuses what is there for trying Claviger out. */
export const profiles = ["development", "production"] as const;
export type Profile = (typeof profiles)[number];

const developmentTrustDomains = ["claviger.internal", "claviger.test"];

export interface FoundDefaults {
  hsm: string;
  trustDomain?: string;
  /** Whether somebody said how many custodians there are; asked at the ceremony alone. */
  custodyChosen?: boolean;
}

/** @throws DomainError `failed-precondition` that lists everything which is not fit for production */
export function requireFit(profile: Profile, found: FoundDefaults): void {
  if (profile === "development") return;
  const problems: string[] = [];
  if (/softhsm/i.test(found.hsm)) {
    problems.push("SoftHSM keeps its keys in files: name your HSM's module in CLAVIGER_PKCS11_MODULE");
  }
  if (found.trustDomain !== undefined && developmentTrustDomains.includes(found.trustDomain)) {
    problems.push(
      `${found.trustDomain} is the default trust domain: set CLAVIGER_TRUST_DOMAIN to one of yours`,
    );
  }
  if (found.custodyChosen === false) {
    problems.push(
      "nobody chose the custody of the recovery key: set CLAVIGER_RECOVERY_THRESHOLD and CLAVIGER_RECOVERY_SHARES",
    );
  }
  if (problems.length === 0) return;
  throw new DomainError("failed-precondition", `not fit for production:\n  ${problems.join("\n  ")}`, {
    hint: "mend it, or set CLAVIGER_PROFILE=development where nothing depends on it",
  });
}
