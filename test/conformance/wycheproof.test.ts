import { createPrivateKey, createPublicKey } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { type Algorithm, algorithmRow } from "../../services/generator/src/algorithms.ts";
import type { KeyMechanism } from "../../services/generator/src/mechanisms/mechanism.ts";
import { verifySignature } from "../../services/generator/src/mechanisms/public-key.ts";
import { softwareMechanism } from "../../services/generator/src/mechanisms/software.ts";
import { fromHex, readWycheproof, type WycheproofCase, type WycheproofFile } from "./vectors.ts";

/** Reads a file and judges each of its cases; the count of each result is the file's own. */
function conforms<Group extends { tests: WycheproofCase[] }>(
  file: string,
  judge: (group: Group, vector: Group["tests"][number]) => Promise<boolean> | boolean,
  options: { applies?: (group: Group) => boolean; acceptable?: number } = {},
): void {
  const vectors: WycheproofFile<Group> | undefined = readWycheproof<Group>(file);
  test.skipIf(vectors === undefined)(
    `wycheproof, ${file}: every case is accepted or refused as it says`,
    async () => {
      const counts = { valid: 0, invalid: 0, acceptable: 0 };
      const wrong: string[] = [];
      for (const group of vectors!.testGroups.filter(options.applies ?? (() => true))) {
        for (const vector of group.tests) {
          counts[vector.result] += 1;
          const accepted = await judge(group, vector);
          if (vector.result !== "acceptable" && accepted !== (vector.result === "valid")) {
            wrong.push(
              `case ${vector.tcId}: ${vector.comment} [${vector.flags}]: ${accepted}, not ${vector.result}`,
            );
          }
        }
      }
      expect(wrong).toEqual([]);
      expect(counts.valid, "valid cases").toBeGreaterThan(5);
      if (options.applies === undefined) {
        expect(counts.valid + counts.invalid + counts.acceptable).toBe(vectors!.numberOfTests);
      }
      console.info(
        `${file}: ${counts.valid} valid, ${counts.invalid} invalid, ${counts.acceptable} acceptable`,
      );
    },
  );
}

function mechanismOf(algorithm: Algorithm, material: Uint8Array): KeyMechanism {
  using secret = SecretBytes.take(Uint8Array.from(material));
  return softwareMechanism(algorithmRow(algorithm), secret);
}

/** Whether an operation gives exactly what is wanted; a refusal is a DomainError that names no fault of ours. */
async function gives(work: () => Promise<Uint8Array> | Uint8Array, wanted: Buffer): Promise<boolean> {
  try {
    return Buffer.from(await work()).equals(wanted);
  } catch (error) {
    expect(["integrity", "invalid-argument"]).toContain((error as { kind?: string }).kind);
    return false;
  }
}

async function exposed(secret: Promise<SecretBytes> | SecretBytes): Promise<Uint8Array> {
  return Uint8Array.from((await secret).expose());
}

const none = new Uint8Array(0);
interface AeadGroup {
  ivSize: number;
  keySize: number;
  tagSize: number;
  tests: (WycheproofCase & Record<"key" | "iv" | "aad" | "msg" | "ct" | "tag", string>)[];
}
conforms<AeadGroup>(
  "aes_gcm_test.json",
  async ({ keySize }, { aad, ct, iv, key, msg, result, tag }) => {
    const mechanism = mechanismOf(`aes-${keySize as 128 | 192 | 256}-gcm`, fromHex(key));
    const [nonce, bound, sealed] = [fromHex(iv), fromHex(aad), fromHex(ct + tag)];
    if (result === "valid") expect(await mechanism.seal!(none, nonce, bound, fromHex(msg))).toEqual(sealed);
    return gives(() => mechanism.open!(none, nonce, bound, sealed), fromHex(msg));
  },
  { applies: ({ ivSize, tagSize }) => ivSize === 96 && tagSize === 128 },
);

interface WrapGroup {
  keySize: number;
  tests: (WycheproofCase & Record<"key" | "msg" | "ct", string>)[];
}
conforms<WrapGroup>(
  "aes_kwp_test.json",
  (_, { ct, key, msg }) => {
    const mechanism = mechanismOf("aes-256-kwp", fromHex(key));
    return gives(() => exposed(mechanism.unwrap!(fromHex(ct))), fromHex(msg));
  },
  { applies: ({ keySize }) => keySize === 256 },
);

interface MacGroup {
  tagSize: number;
  tests: (WycheproofCase & Record<"key" | "msg" | "tag", string>)[];
}
conforms<MacGroup>(
  "hmac_sha256_test.json",
  (_, { key, msg, tag }) =>
    gives(() => mechanismOf("hmac-sha256", fromHex(key)).mac!(fromHex(msg)), fromHex(tag)),
  // Truncated tags are another algorithm, which Claviger does not have.
  { applies: ({ tagSize }) => tagSize === 256 },
);

interface SignatureGroup {
  publicKeyDer: string;
  tests: (WycheproofCase & Record<"msg" | "sig", string> & { ctx?: string })[];
}
const signatureFiles: [string, Algorithm][] = [
  ["ecdsa_secp256r1_sha256_test.json", "ecdsa-p256"],
  ["ecdsa_secp384r1_sha384_test.json", "ecdsa-p384"],
  ["ed25519_test.json", "ed25519"],
  ["rsa_pss_3072_sha256_mgf1_32_test.json", "rsa-pss-3072"],
  ["rsa_signature_3072_sha256_test.json", "rsa-pkcs1-3072"],
  ["mldsa_65_verify_test.json", "ml-dsa-65"],
];
for (const [file, algorithm] of signatureFiles) {
  conforms<SignatureGroup>(file, ({ publicKeyDer }, { ctx = "", msg, sig }) => {
    try {
      const key = createPublicKey({ key: fromHex(publicKeyDer), format: "der", type: "spki" });
      return verifySignature(algorithmRow(algorithm).scheme, key, fromHex(msg), fromHex(sig), fromHex(ctx));
    } catch {
      return false;
    }
  });
}

interface OaepGroup {
  privateKeyPkcs8: string;
  tests: (WycheproofCase & Record<"msg" | "ct" | "label", string>)[];
}
conforms<OaepGroup>(
  "rsa_oaep_3072_sha256_mgf1sha256_test.json",
  ({ privateKeyPkcs8 }, { ct, label, msg }) => {
    const mechanism = mechanismOf("rsa-oaep-3072", fromHex(privateKeyPkcs8));
    return gives(() => mechanism.openOaep!(fromHex(label), fromHex(ct)), fromHex(msg));
  },
);

interface AgreementGroup {
  tests: (WycheproofCase & Record<"public" | "private" | "shared", string>)[];
}
/** RFC 5915's form of a scalar, which wycheproof gives with or without leading zeros. */
function p256Pkcs8(scalar: string): Buffer {
  const prefix = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
  return fromHex(prefix + scalar.replace(/^0+/, "").padStart(64, "0"));
}
conforms<AgreementGroup>("ecdh_secp256r1_test.json", (_, vector) => {
  const mechanism = mechanismOf("ecdh-p256", p256Pkcs8(vector.private));
  return gives(() => exposed(mechanism.agree!(fromHex(vector.public))), fromHex(vector.shared));
});
conforms<AgreementGroup>("x25519_test.json", (_, vector) => {
  const mechanism = mechanismOf("x25519", fromHex(`302e020100300506032b656e04220420${vector.private}`));
  const peer = fromHex(`302a300506032b656e032100${vector.public}`);
  return gives(() => exposed(mechanism.agree!(peer)), fromHex(vector.shared));
});

interface KemGroup {
  tests: (WycheproofCase & Record<"seed" | "ek" | "c" | "K", string>)[];
}
conforms<KemGroup>("mlkem_768_test.json", async (_, { c, ek, K, seed }) => {
  const pkcs8 = fromHex(`3054020100300b060960864801650304040204428040${seed}`);
  const mechanism = ((): KeyMechanism | undefined => {
    try {
      // A seed of another length, or one that does not give the encapsulation key, is refused.
      const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }));
      const spki = publicKey.export({ type: "spki", format: "der" });
      return spki.subarray(spki.length - 1184).equals(fromHex(ek))
        ? mechanismOf("ml-kem-768", pkcs8)
        : undefined;
    } catch {
      return undefined;
    }
  })();
  return mechanism !== undefined && gives(() => exposed(mechanism.decapsulate!(fromHex(c))), fromHex(K));
});
