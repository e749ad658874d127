import type { KeyOperation } from "@claviger/lifecycle";
import type { HsmKeySpec } from "./hsm/port.ts";

export type Purpose =
  | "encrypt-decrypt"
  | "sign-verify"
  | "mac"
  | "wrap-unwrap"
  | "key-agreement"
  | "encapsulation";
export const protections = ["software", "hsm"] as const;
export type Protection = (typeof protections)[number];

/** What a key is made of, and how it is used. */
export type Scheme =
  | { readonly kind: "aes-gcm"; readonly keyBytes: 16 | 24 | 32 }
  | { readonly kind: "aes-kwp"; readonly keyBytes: 32 }
  | { readonly kind: "hmac"; readonly keyBytes: number; readonly hash: HashName }
  | { readonly kind: "ecdsa"; readonly curve: CurveName; readonly hash: HashName }
  | { readonly kind: "ed25519" }
  | { readonly kind: "rsa-pss"; readonly modulusBits: number; readonly hash: HashName }
  | { readonly kind: "rsa-pkcs1"; readonly modulusBits: number; readonly hash: HashName }
  | { readonly kind: "rsa-oaep"; readonly modulusBits: number; readonly hash: HashName }
  | { readonly kind: "ecdh"; readonly curve: CurveName }
  | { readonly kind: "x25519" }
  | { readonly kind: "ml-kem"; readonly parameters: "ml-kem-768" | "ml-kem-1024" }
  | { readonly kind: "ml-dsa"; readonly parameters: "ml-dsa-44" | "ml-dsa-65" | "ml-dsa-87" }
  | { readonly kind: "slh-dsa"; readonly parameters: "slh-dsa-sha2-128s" };

export type HashName = "sha256" | "sha384" | "sha512";
export type CurveName = "P-256" | "P-384" | "P-521";

export interface AlgorithmRow {
  readonly purpose: Purpose;
  readonly operations: readonly KeyOperation[];
  readonly scheme: Scheme;
  /** Its kind and use in an HSM; undefined where the modules that we know have none of it, or cannot wrap it. */
  readonly hsm: HsmKeySpec | undefined;
  /** Security strength in bits (SP 800-57 Part 1 Rev. 5 section 5.6.1). */
  readonly strengthBits: number;
  /** Operations that one version may apply protection with; undefined where the standard sets no bound. */
  readonly usageLimit?: { readonly operations: number; readonly source: string };
  /** Approved, or legacy until the end of a year and then refused for new keys. */
  readonly status: "approved" | { readonly legacyUntil: string; readonly source: string };
  readonly approvedBy: string;
}

const encryption = { purpose: "encrypt-decrypt", operations: ["encrypt", "decrypt", "export"] } as const;
const signature = {
  purpose: "sign-verify",
  operations: ["sign", "verify", "public-key", "export"],
} as const;
const mac = { purpose: "mac", operations: ["mac", "verify-mac", "export"], status: "approved" } as const;
const agreement = {
  purpose: "key-agreement",
  operations: ["agree", "public-key", "export"],
  status: "approved",
} as const;
const encapsulation = {
  purpose: "encapsulation",
  operations: ["encapsulate", "decapsulate", "public-key", "export"],
  status: "approved",
  hsm: undefined,
  approvedBy: "FIPS 203",
} as const;
const gcm = {
  ...encryption,
  status: "approved",
  approvedBy: "FIPS 197, SP 800-38D",
  usageLimit: { operations: 2 ** 32, source: "SP 800-38D section 8.3: random 96-bit nonces" },
} as const;
/** 112 bits of strength end with 2030. */
const until2030 = { legacyUntil: "2030-12-31", source: "SP 800-131A Rev. 3 draft, IR 8547" } as const;

function rsa(kind: "rsa-pss" | "rsa-pkcs1" | "rsa-oaep", modulusBits: 2048 | 3072 | 4096): AlgorithmRow {
  const encrypts = kind === "rsa-oaep";
  return {
    ...(encrypts
      ? { ...encryption, operations: ["encrypt", "decrypt", "public-key", "export"] as const }
      : signature),
    scheme: { kind, modulusBits, hash: "sha256" },
    hsm: { kind: `rsa-${modulusBits}`, use: encrypts ? "decrypt" : "sign" },
    strengthBits: { 2048: 112, 3072: 128, 4096: 152 }[modulusBits],
    status: modulusBits === 2048 ? until2030 : "approved",
    approvedBy: encrypts ? "SP 800-56B Rev. 2" : "FIPS 186-5",
  };
}

/** What a key's public half does by itself. */
const ofPublicHalf: readonly KeyOperation[] = ["verify", "encrypt", "encapsulate", "public-key"];

export function publicOperations({ operations }: AlgorithmRow): KeyOperation[] {
  return operations.includes("public-key") ? operations.filter((one) => ofPublicHalf.includes(one)) : [];
}

/** What Claviger makes and uses: one row for each, from which docs/algorithms.md is made. */
export const algorithms = {
  "aes-256-gcm": {
    ...gcm,
    scheme: { kind: "aes-gcm", keyBytes: 32 },
    hsm: { kind: "aes-256", use: "encrypt" },
    strengthBits: 256,
  },
  "aes-192-gcm": {
    ...gcm,
    scheme: { kind: "aes-gcm", keyBytes: 24 },
    hsm: { kind: "aes-192", use: "encrypt" },
    strengthBits: 192,
  },
  "aes-128-gcm": {
    ...gcm,
    scheme: { kind: "aes-gcm", keyBytes: 16 },
    hsm: { kind: "aes-128", use: "encrypt" },
    strengthBits: 128,
  },
  "aes-256-kwp": {
    purpose: "wrap-unwrap",
    operations: ["wrap", "unwrap", "export"],
    scheme: { kind: "aes-kwp", keyBytes: 32 },
    hsm: undefined,
    strengthBits: 256,
    status: "approved",
    approvedBy: "FIPS 197, SP 800-38F",
  },
  "hmac-sha256": {
    ...mac,
    scheme: { kind: "hmac", keyBytes: 32, hash: "sha256" },
    hsm: { kind: "secret-32", use: "sign" },
    strengthBits: 256,
    approvedBy: "FIPS 198-1, SP 800-224",
  },
  "hmac-sha384": {
    ...mac,
    scheme: { kind: "hmac", keyBytes: 48, hash: "sha384" },
    hsm: { kind: "secret-48", use: "sign" },
    strengthBits: 256,
    approvedBy: "FIPS 198-1, SP 800-224",
  },
  "hmac-sha512": {
    ...mac,
    scheme: { kind: "hmac", keyBytes: 64, hash: "sha512" },
    hsm: { kind: "secret-64", use: "sign" },
    strengthBits: 256,
    approvedBy: "FIPS 198-1, SP 800-224",
  },
  "ecdsa-p256": {
    ...signature,
    scheme: { kind: "ecdsa", curve: "P-256", hash: "sha256" },
    hsm: { kind: "ec-p256", use: "sign" },
    strengthBits: 128,
    status: "approved",
    approvedBy: "FIPS 186-5, SP 800-186",
  },
  "ecdsa-p384": {
    ...signature,
    scheme: { kind: "ecdsa", curve: "P-384", hash: "sha384" },
    hsm: { kind: "ec-p384", use: "sign" },
    strengthBits: 192,
    status: "approved",
    approvedBy: "FIPS 186-5, SP 800-186",
  },
  "ecdsa-p521": {
    ...signature,
    scheme: { kind: "ecdsa", curve: "P-521", hash: "sha512" },
    hsm: { kind: "ec-p521", use: "sign" },
    strengthBits: 256,
    status: "approved",
    approvedBy: "FIPS 186-5, SP 800-186",
  },
  ed25519: {
    ...signature,
    scheme: { kind: "ed25519" },
    // SoftHSM signs with it and cannot wrap it, so such a key would not be recoverable.
    hsm: undefined,
    strengthBits: 128,
    status: "approved",
    approvedBy: "FIPS 186-5, SP 800-186",
  },
  "rsa-pss-3072": rsa("rsa-pss", 3072),
  "rsa-pss-4096": rsa("rsa-pss", 4096),
  "rsa-pss-2048": rsa("rsa-pss", 2048),
  "rsa-pkcs1-3072": rsa("rsa-pkcs1", 3072),
  "rsa-pkcs1-4096": rsa("rsa-pkcs1", 4096),
  "rsa-pkcs1-2048": rsa("rsa-pkcs1", 2048),
  "rsa-oaep-3072": rsa("rsa-oaep", 3072),
  "rsa-oaep-4096": rsa("rsa-oaep", 4096),
  "rsa-oaep-2048": rsa("rsa-oaep", 2048),
  "ecdh-p256": {
    ...agreement,
    scheme: { kind: "ecdh", curve: "P-256" },
    hsm: { kind: "ec-p256", use: "derive" },
    strengthBits: 128,
    approvedBy: "SP 800-56A Rev. 3, SP 800-186",
  },
  "ecdh-p384": {
    ...agreement,
    scheme: { kind: "ecdh", curve: "P-384" },
    hsm: { kind: "ec-p384", use: "derive" },
    strengthBits: 192,
    approvedBy: "SP 800-56A Rev. 3, SP 800-186",
  },
  x25519: {
    ...agreement,
    scheme: { kind: "x25519" },
    hsm: undefined,
    strengthBits: 128,
    approvedBy: "RFC 7748; not in SP 800-56A, so not where FIPS 140 is required",
  },
  "ml-kem-768": {
    ...encapsulation,
    scheme: { kind: "ml-kem", parameters: "ml-kem-768" },
    strengthBits: 192,
  },
  "ml-kem-1024": {
    ...encapsulation,
    scheme: { kind: "ml-kem", parameters: "ml-kem-1024" },
    strengthBits: 256,
  },
  "ml-dsa-44": mlDsa("ml-dsa-44", 128),
  "ml-dsa-65": mlDsa("ml-dsa-65", 192),
  "ml-dsa-87": mlDsa("ml-dsa-87", 256),
  "slh-dsa-sha2-128s": {
    ...signature,
    scheme: { kind: "slh-dsa", parameters: "slh-dsa-sha2-128s" },
    hsm: undefined,
    strengthBits: 128,
    usageLimit: { operations: 2 ** 64, source: "FIPS 205 section 4" },
    status: "approved",
    approvedBy: "FIPS 205",
  },
} as const satisfies Record<string, AlgorithmRow>;

function mlDsa(parameters: "ml-dsa-44" | "ml-dsa-65" | "ml-dsa-87", strengthBits: number): AlgorithmRow {
  return {
    ...signature,
    scheme: { kind: "ml-dsa", parameters },
    hsm: undefined,
    strengthBits,
    status: "approved",
    approvedBy: "FIPS 204",
  };
}

export type Algorithm = keyof typeof algorithms;

export function algorithmRow(algorithm: Algorithm): AlgorithmRow {
  return algorithms[algorithm];
}

/** The uses that storage counts, 0 where it counts none: a bound that nobody reaches needs no counting. */
export function usesMaxOf(algorithm: Algorithm): number {
  const { usageLimit } = algorithmRow(algorithm);
  return usageLimit !== undefined && usageLimit.operations <= 2 ** 48 ? usageLimit.operations : 0;
}
