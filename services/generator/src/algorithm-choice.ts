import { DomainError } from "@claviger/domain-error";
import { type Algorithm, algorithmRow, algorithms, type Protection, protections } from "./algorithms.ts";
import type { HsmKeySpec } from "./hsm/port.ts";

/** An algorithm that a stored key has. @throws DomainError `invalid-argument` */
export function checkAlgorithm(name: string): Algorithm {
  if (Object.hasOwn(algorithms, name)) return name as Algorithm;
  const shown = JSON.stringify(name.slice(0, 40));
  const row = refusedAlgorithms.find(({ pattern }) => pattern.test(name.toLowerCase()));
  if (row !== undefined) {
    throw new DomainError("invalid-argument", `${shown} ${row.why}`, { hint: `use ${row.instead}` });
  }
  throw new DomainError("invalid-argument", `${shown} is not an algorithm that this version serves`, {
    hint: `use one of ${Object.keys(algorithms).join(", ")}`,
  });
}

/** An algorithm for a new key: legacy ones only where the installation admits them, and until their day. */
export function checkNewAlgorithm(name: string, policy: { admitLegacy: boolean; now: Date }): Algorithm {
  const algorithm = checkAlgorithm(name);
  const { status } = algorithmRow(algorithm);
  if (status === "approved") return algorithm;
  const over = policy.now.toISOString().slice(0, 10) > status.legacyUntil;
  if (policy.admitLegacy && !over) return algorithm;
  throw new DomainError(
    "invalid-argument",
    `${algorithm} is legacy ${over ? "since" : "until"} ${status.legacyUntil} (${status.source})`,
    { hint: `use ${algorithm.replace("2048", "3072")}` },
  );
}

/** What people ask for by habit, and why not. */
export const refusedAlgorithms: readonly { pattern: RegExp; why: string; instead: string }[] = [
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
  {
    pattern: /^rsa(es)?-?pkcs1-?(v1.?5)?-?encrypt|^rsaes/,
    why: "lets whoever sees errors decrypt (SP 800-131A)",
    instead: "rsa-oaep-3072",
  },
  {
    pattern: /^rsa-?\d+$/,
    why: "does not say what the key is for",
    instead: "rsa-pss-3072 or rsa-oaep-3072",
  },
  { pattern: /^(kyber|crystals)/, why: "is the draft before the standard (FIPS 203)", instead: "ml-kem-768" },
  { pattern: /^dilithium/, why: "is the draft before the standard (FIPS 204)", instead: "ml-dsa-65" },
];

export function checkProtection(name: string): Protection {
  if (name === "") return "software";
  if ((protections as readonly string[]).includes(name)) return name as Protection;
  throw new DomainError("invalid-argument", `${JSON.stringify(name.slice(0, 40))} is not a protection`, {
    hint: `use one of ${protections.join(", ")}`,
  });
}

/** @throws DomainError `failed-precondition` where an algorithm has no place in an HSM */
export function requireHsmSpec(algorithm: Algorithm): HsmKeySpec {
  const { hsm } = algorithmRow(algorithm);
  if (hsm !== undefined) return hsm;
  throw new DomainError("failed-precondition", `${algorithm} is not served with hsm protection`, {
    hint: "PKCS#11 modules do not have it, or cannot wrap it: use --protection software",
  });
}
