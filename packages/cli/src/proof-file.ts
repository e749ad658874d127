import { canonicalJson, leafBytesMax, opensLeaf } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import {
  leafHash,
  openCheckpoint,
  proofHashesMax,
  type VerifierKey,
  verifyInclusion,
} from "@claviger/merkle";

type JsonObject = Record<string, unknown>;

/** A proof that needs nobody: docs/formats.md, `claviger-audit-proof/v1`. */
export interface Proof {
  format: typeof proofFormat;
  sequence: number;
  /** The leaf, parsed; its canonical JSON is what was hashed. */
  record: JsonObject;
  /** Null once it was erased, and then so is the salt. */
  personal: JsonObject | null;
  /** Base64. */
  salt: string | null;
  /** Base64, from the leaf upwards. */
  inclusion: string[];
  /** A C2SP signed note. */
  checkpoint: string;
}

export interface VerifiedProof {
  proof: Proof;
  /** Leaves in the tree that the checkpoint signs. */
  size: number;
  origin: string;
}

const proofFormat = "claviger-audit-proof/v1";
export const proofBytesMax = 256 * 1024;
const fields = ["format", "sequence", "record", "personal", "salt", "inclusion", "checkpoint"];

export interface ProofParts {
  sequence: bigint;
  leaf: string;
  /** JSON, or empty. */
  personal: string;
  salt: Uint8Array;
  hashes: readonly Uint8Array[];
  checkpoint: string;
}

/** A proof out of the service's answer. @throws DomainError `integrity` where that is not well-formed */
export function createProof(parts: ProofParts): Proof {
  return asIntegrity(() => {
    const erased = parts.personal === "";
    const record = JSON.parse(parts.leaf) as JsonObject;
    if (canonicalJson(record) !== parts.leaf) throw damaged("the record is not in its canonical form");
    return {
      format: proofFormat,
      sequence: Number(parts.sequence),
      record,
      personal: erased ? null : (JSON.parse(parts.personal) as JsonObject),
      salt: erased ? null : Buffer.from(parts.salt).toString("base64"),
      inclusion: parts.hashes.map((hash) => Buffer.from(hash).toString("base64")),
      checkpoint: parts.checkpoint,
    };
  });
}

/** The one text of a proof. */
export function formatProof(proof: Proof): string {
  return `${JSON.stringify(proof, null, 2)}\n`;
}

/**
 * Verifies a proof file without asking anybody: that the record is the one that the log has at this
 * place, in a tree that the verifier key's holder has signed.
 *
 * @throws DomainError `integrity`, whatever is wrong with it: damage must not look like a typing mistake
 */
export function verifyProofFile(bytes: Uint8Array, verifierKey: VerifierKey): VerifiedProof {
  return asIntegrity(() => {
    const proof = readProof(bytes);
    const { sequence, record, personal, salt, inclusion, checkpoint: note } = proof;
    const leaf = canonicalJson(record);
    if (leaf.length > leafBytesMax) throw damaged("its record is too large to be one");
    if (personal !== null && salt !== null && !opensLeaf(leaf, canonicalJson(personal), decode(salt))) {
      throw damaged("who did it is not what the record committed to");
    }
    const { checkpoint } = openCheckpoint(note, [verifierKey], verifierKey.name);
    verifyInclusion({
      leafHash: leafHash(Buffer.from(leaf, "utf8")),
      index: sequence,
      size: checkpoint.size,
      proof: inclusion.map(decode),
      root: checkpoint.root,
    });
    return { proof, size: checkpoint.size, origin: checkpoint.origin };
  });
}

function readProof(bytes: Uint8Array): Proof {
  // A byte order mark and bytes that are no UTF-8 would vanish in a lenient reading.
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  const parsed: unknown = JSON.parse(text);
  if (!isObject(parsed)) throw damaged("it is not an object");
  if (Object.keys(parsed).join() !== fields.join()) throw damaged("its fields are not those of a proof");
  const { format, sequence, record, personal, salt, inclusion, checkpoint } = parsed;
  if (format !== proofFormat) throw damaged(`it is not of the format ${proofFormat}`);
  if (typeof sequence !== "number" || !Number.isSafeInteger(sequence)) throw damaged("it has no sequence");
  if (!isObject(record)) throw damaged("it has no record");
  const whole = isObject(personal) && typeof salt === "string";
  if (!whole && !(personal === null && salt === null))
    throw damaged("of who did it and the salt, one is missing");
  if (!Array.isArray(inclusion) || inclusion.length > proofHashesMax)
    throw damaged("it has no inclusion proof");
  if (!inclusion.every((hash) => typeof hash === "string"))
    throw damaged("its inclusion proof is not base64");
  if (typeof checkpoint !== "string") throw damaged("it has no checkpoint");
  const proof = parsed as unknown as Proof;
  // One proof has one text: white space, a repeated field or another spelling of a character is a change too.
  if (formatProof(proof) !== text) throw damaged("it is not written as Claviger writes it");
  return proof;
}

function decode(base64: string): Uint8Array {
  const bytes = Buffer.from(base64, "base64");
  // Buffer skips what it does not know; encoding again shows whether it skipped anything.
  if (bytes.toString("base64") !== base64) throw damaged("it holds something that is not base64");
  return bytes;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function damaged(what: string): DomainError {
  return new DomainError("integrity", `the proof fails: ${what}`, {
    hint: "it was changed or cut off: fetch it again",
  });
}

function asIntegrity<T>(verify: () => T): T {
  try {
    return verify();
  } catch (cause) {
    if (cause instanceof DomainError && cause.kind === "integrity") throw cause;
    const what = cause instanceof DomainError ? cause.message : "it is not readable as a proof";
    throw new DomainError("integrity", `the proof fails: ${what}`, {
      hint: "it was changed or cut off: fetch it again",
      cause,
    });
  }
}
