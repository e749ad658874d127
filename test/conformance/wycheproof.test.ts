import { randomUUID } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { uuidBytes } from "../../services/generator/src/ciphertext.ts";
import { type KeyFacts, softwareMechanism, UsableKey } from "../../services/generator/src/usable-key.ts";
import { fromHex, readWycheproof, type WycheproofCase } from "./vectors.ts";

interface AeadCase extends WycheproofCase {
  key: string;
  iv: string;
  aad: string;
  msg: string;
  ct: string;
  tag: string;
}

interface AeadGroup {
  ivSize: number;
  keySize: number;
  tagSize: number;
  tests: AeadCase[];
}

interface SignatureGroup {
  publicKeyDer: string;
  tests: (WycheproofCase & { msg: string; sig: string })[];
}

const aead = readWycheproof<AeadGroup>("aes_gcm_test.json");
const ecdsa = readWycheproof<SignatureGroup>("ecdsa_secp256r1_sha256_test.json");

test.skipIf(aead === undefined)(
  "wycheproof, AES-256-GCM: every case with a nonce and a tag like ours opens, or is refused, as it says",
  async () => {
    const groups = aead!.testGroups.filter(
      ({ ivSize, keySize, tagSize }) => ivSize === 96 && keySize === 256 && tagSize === 128,
    );
    const counts = { valid: 0, invalid: 0, acceptable: 0 };
    for (const vector of groups.flatMap(({ tests }) => tests)) {
      counts[vector.result] += 1;
      using secret = SecretBytes.take(fromHex(vector.key));
      const mechanism = softwareMechanism("aes-256-gcm", secret);
      const [nonce, associatedData, plaintext] = [vector.iv, vector.aad, vector.msg].map(fromHex) as [
        Buffer,
        Buffer,
        Buffer,
      ];
      const sealed = fromHex(vector.ct + vector.tag);
      const label = `case ${vector.tcId}: ${vector.comment}`;
      if (vector.result === "invalid") {
        expect(() => mechanism.open!(nonce, associatedData, sealed), label).toThrow("was changed");
      } else {
        expect(await mechanism.open!(nonce, associatedData, sealed), label).toEqual(plaintext);
        expect(await mechanism.seal!(nonce, associatedData, plaintext), label).toEqual(sealed);
      }
      mechanism.destroy();
    }
    expect(counts.acceptable).toBe(0);
    expect(counts.valid).toBeGreaterThan(30);
    expect(counts.invalid).toBeGreaterThan(20);
  },
);

test.skipIf(ecdsa === undefined)(
  "wycheproof, ECDSA P-256 SHA-256: every signature verifies, or does not, as it says",
  () => {
    const counts = { valid: 0, invalid: 0, acceptable: 0 };
    const wrong: string[] = [];
    for (const group of ecdsa!.testGroups) {
      const key = new UsableKey(factsFor(fromHex(group.publicKeyDer)), { destroy: () => undefined }, 0);
      for (const { comment, msg, result, sig, tcId } of group.tests) {
        counts[result] += 1;
        const valid = key.verify(fromHex(msg), fromHex(sig));
        if (valid !== (result === "valid")) wrong.push(`case ${tcId}: ${comment}: ${valid}, not ${result}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(counts.valid + counts.invalid).toBe(ecdsa!.numberOfTests);
    expect(counts.invalid).toBeGreaterThan(100);
  },
);

function factsFor(subjectPublicKeyInfo: Buffer): KeyFacts {
  const id = randomUUID();
  return {
    name: "wycheproof/k",
    id,
    idBytes: uuidBytes(id),
    version: 1,
    algorithm: "ecdsa-p256",
    protection: "software",
    condition: { keyState: "active", versionState: "active", destroyAt: undefined },
    subjectPublicKeyInfo,
  };
}
