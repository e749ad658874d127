import { DomainError } from "@claviger/domain-error";
import type { KeyOperation } from "@claviger/lifecycle";
import type { HsmKeyKind } from "./hsm/port.ts";

export type Purpose = "encrypt-decrypt" | "sign-verify";
export const protections = ["software", "hsm"] as const;
export type Protection = (typeof protections)[number];

export interface AlgorithmRow {
  readonly purpose: Purpose;
  readonly operations: readonly KeyOperation[];
  readonly hsmKind: HsmKeyKind;
  /** What `software` material is: raw key bytes, or a PKCS #8 private key. */
  readonly softwareMaterial: { readonly kind: "raw"; readonly bytes: number } | { readonly kind: "pkcs8" };
  /** The standard that approves it. */
  readonly approvedBy: string;
}

/** What Claviger makes and uses. */
export const algorithms = {
  "aes-256-gcm": {
    purpose: "encrypt-decrypt",
    operations: ["encrypt", "decrypt"],
    hsmKind: "aes-256",
    softwareMaterial: { kind: "raw", bytes: 32 },
    approvedBy: "FIPS 197, SP 800-38D",
  },
  "ecdsa-p256": {
    purpose: "sign-verify",
    operations: ["sign", "verify", "public-key"],
    hsmKind: "ec-p256",
    softwareMaterial: { kind: "pkcs8" },
    approvedBy: "FIPS 186-5, SP 800-186",
  },
} as const satisfies Record<string, AlgorithmRow>;

export type Algorithm = keyof typeof algorithms;

/** What people ask for by habit, and why not. */
const refused: readonly { pattern: RegExp; why: string; instead: string }[] = [
  {
    pattern: /^(3?des|tdea|des-ede|rc[24]|blowfish)/,
    why: "is no longer approved (SP 800-131A)",
    instead: "aes-256-gcm",
  },
  { pattern: /^aes.*(ecb|cbc|ctr)/, why: "does not authenticate what it encrypts", instead: "aes-256-gcm" },
  {
    pattern: /^(rsa-?1024|dsa|.*sha-?1$|md5)/,
    why: "is no longer approved (SP 800-131A)",
    instead: "ecdsa-p256",
  },
  {
    pattern: /^(secp256k1|ecdsa-(secp256k1|p192|p224))/,
    why: "is not an approved curve (SP 800-186)",
    instead: "ecdsa-p256",
  },
];

/** @throws DomainError `invalid-argument` with the reason and what to use instead */
export function checkAlgorithm(name: string): Algorithm {
  if (Object.hasOwn(algorithms, name)) return name as Algorithm;
  const shown = JSON.stringify(name.slice(0, 40));
  const row = refused.find(({ pattern }) => pattern.test(name.toLowerCase()));
  if (row !== undefined) {
    throw new DomainError("invalid-argument", `${shown} ${row.why}`, { hint: `use ${row.instead}` });
  }
  throw new DomainError("invalid-argument", `${shown} is not an algorithm that this version serves`, {
    hint: `use one of ${Object.keys(algorithms).join(", ")}`,
  });
}

export function checkProtection(name: string): Protection {
  if (name === "") return "software";
  if ((protections as readonly string[]).includes(name)) return name as Protection;
  throw new DomainError("invalid-argument", `${JSON.stringify(name.slice(0, 40))} is not a protection`, {
    hint: `use one of ${protections.join(", ")}`,
  });
}

export function algorithmRow(algorithm: Algorithm): AlgorithmRow {
  return algorithms[algorithm];
}
