import pkcs11 from "pkcs11js";
import type { HsmKeySpec } from "./port.ts";

/** What is particular about a vendor's module: found out by trying, not by its list of mechanisms. */
interface VendorProfile {
  readonly vendor: RegExp;
  /** What it lists and cannot do. */
  readonly cannot: (spec: HsmKeySpec) => string | undefined;
}

const profiles: readonly VendorProfile[] = [
  {
    vendor: /softhsm/i,
    cannot: ({ kind, use }) =>
      kind.startsWith("rsa-") && use === "decrypt"
        ? "does RSA-OAEP with SHA-1 alone (CKM_RSA_PKCS_OAEP)"
        : undefined,
  },
];

/** By name, so that what is missing can be told. */
type Mechanism = keyof typeof pkcs11 & `CKM_${string}`;

function needed({ kind, use }: HsmKeySpec): Mechanism[] {
  if (kind.startsWith("aes-")) return ["CKM_AES_KEY_GEN", "CKM_AES_GCM"];
  if (kind.startsWith("secret-")) {
    const hmac = ({ "secret-32": "CKM_SHA256_HMAC", "secret-48": "CKM_SHA384_HMAC" } as const)[
      kind as "secret-32"
    ];
    return ["CKM_GENERIC_SECRET_KEY_GEN", hmac ?? "CKM_SHA512_HMAC"];
  }
  if (kind.startsWith("ec-")) {
    return ["CKM_EC_KEY_PAIR_GEN", use === "derive" ? "CKM_ECDH1_DERIVE" : "CKM_ECDSA"];
  }
  const uses: Mechanism[] = use === "decrypt" ? ["CKM_RSA_PKCS_OAEP"] : ["CKM_RSA_PKCS_PSS", "CKM_RSA_PKCS"];
  return ["CKM_RSA_PKCS_KEY_PAIR_GEN", ...uses];
}

/** What a module lacks for a kind and use of keys, by the mechanisms that it lists and by its vendor's profile. */
export function createCapabilities(options: {
  manufacturer: string;
  mechanisms: readonly number[];
}): (spec: HsmKeySpec) => string | undefined {
  const listed = new Set(options.mechanisms);
  const profile = profiles.find(({ vendor }) => vendor.test(options.manufacturer));
  return (spec) => {
    const missing = [...needed(spec), "CKM_AES_KEY_WRAP_PAD" as const].find(
      (name) => !listed.has(pkcs11[name] as number),
    );
    if (missing !== undefined) return `does not have ${missing}`;
    return profile?.cannot(spec);
  };
}
