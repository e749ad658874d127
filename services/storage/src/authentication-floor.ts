import { DomainError } from "@claviger/domain-error";
import type { AuthenticationStrength } from "@claviger/identity";

/** One thing that authentication must have. */
interface Requirement {
  readonly text: string;
  /** Why a strength falls short; undefined where it does not. */
  readonly shortfall: (strength: AuthenticationStrength) => string | undefined;
}

/** Groups in which one of two parts withstands quantum computers (draft-ietf-tls-ecdhe-mlkem), and ML-KEM alone. */
const postQuantumGroups = [
  "X25519MLKEM768",
  "SecP256r1MLKEM768",
  "SecP384r1MLKEM1024",
  "MLKEM512",
  "MLKEM768",
  "MLKEM1024",
];
const requirementsCharactersMax = 500;
const hint =
  "requirements are of rsa>=BITS, ec>=BITS, signature>=BITS (of its hash), lifetime<=DAYSd, tls>=1.3 and key-exchange=post-quantum or names joined by +, with commas between them";

/** @throws DomainError `invalid-argument`, which names the part that it does not take */
export function parseRequirements(text: string): Requirement[] {
  if (text.length > requirementsCharactersMax) throw refused("it is too long");
  const requirements = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseRequirement);
  if (requirements.length === 0) throw refused("it asks for nothing");
  return requirements;
}

/** As it is kept and shown. */
export function requirementsText(requirements: readonly Requirement[]): string {
  return requirements.map(({ text }) => text).join(", ");
}

/** What falls short, one sentence each. */
export function shortfalls(
  requirements: readonly Requirement[],
  strength: AuthenticationStrength | undefined,
): string[] {
  if (strength === undefined) return ["nothing is known of how it authenticates"];
  return requirements.flatMap(({ shortfall }) => shortfall(strength) ?? []);
}

function parseRequirement(part: string): Requirement {
  const [, name = "", relation = "", value = ""] = /^([a-z-]+)\s*(>=|<=|=)\s*(\S+)$/.exec(part) ?? [];
  const parse = kinds[`${name}${relation}`];
  const requirement = parse?.(value);
  if (requirement === undefined) throw refused(`"${part.slice(0, 60)}" is not a requirement`);
  return requirement;
}

const kinds: Readonly<Record<string, (value: string) => Requirement | undefined>> = {
  "rsa>=": (value) => keyBits("rsa", value),
  "ec>=": (value) => keyBits("ec", value),
  "signature>=": (value) => {
    const bits = integer(value, 160, 512);
    if (bits === undefined) return undefined;
    return {
      text: `signature>=${bits}`,
      shortfall: ({ signatureAlgorithm }) => {
        const hash = hashBits(signatureAlgorithm);
        return hash >= bits
          ? undefined
          : `its certificate is signed with ${signatureAlgorithm || "nothing known"}`;
      },
    };
  },
  "lifetime<=": (value) => {
    const days = /^\d{1,4}d$/.test(value) ? Number.parseInt(value, 10) : undefined;
    return days
      ? {
          text: `lifetime<=${days}d`,
          shortfall: ({ lifetimeHours }) =>
            lifetimeHours <= days * 24
              ? undefined
              : `its certificate is for ${Math.ceil(lifetimeHours / 24)} days`,
        }
      : undefined;
  },
  "tls>=": (value) =>
    value === "1.2" || value === "1.3"
      ? {
          text: `tls>=${value}`,
          shortfall: ({ tlsVersion }) =>
            tlsVersion >= `TLSv${value}` ? undefined : `it speaks ${tlsVersion || "no known TLS"}`,
        }
      : undefined,
  "key-exchange=": (value) => {
    if (!/^[A-Za-z0-9_+-]{1,200}$/.test(value)) return undefined;
    const groups = value === "post-quantum" ? postQuantumGroups : value.split("+");
    return {
      text: `key-exchange=${value}`,
      shortfall: ({ keyExchange }) =>
        groups.includes(keyExchange) ? undefined : `its key exchange is ${keyExchange || "not known"}`,
    };
  },
};

function keyBits(type: string, value: string): Requirement | undefined {
  const bits = integer(value, 128, 16_384);
  if (bits === undefined) return undefined;
  return {
    text: `${type}>=${bits}`,
    shortfall: (strength) =>
      strength.keyType !== type || strength.keyBits >= bits
        ? undefined
        : `its certificate's key is ${type.toUpperCase()} of ${strength.keyBits} bits`,
  };
}

function integer(value: string, min: number, max: number): number | undefined {
  const number = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  return number >= min && number <= max ? number : undefined;
}

/** Of schemes that name no hash (Ed25519, ML-DSA, SLH-DSA) more than any hash that can be asked for. */
function hashBits(algorithm: string): number {
  if (algorithm === "") return 0;
  if (/md[245]/i.test(algorithm)) return 128;
  const [, size] = /sha-?([0-9]{1,3})(?![0-9])/i.exec(algorithm) ?? [];
  if (size === undefined) return /ed25519|ed448|ml-dsa|slh-dsa/i.test(algorithm) ? 512 : 0;
  return Number(size) === 1 ? 160 : Number(size);
}

function refused(why: string): DomainError {
  return new DomainError("invalid-argument", `the floor is refused: ${why}`, { hint });
}
