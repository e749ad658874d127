import { DomainError } from "@claviger/domain-error";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { decrypt, encryptWith, runBatch, signWith, verifyWith } from "../cryptography.ts";
import type { KeyMaker } from "../key-maker.ts";
import type { KeyStore } from "../key-store.ts";

const randomBytesMax = 65_536;

type CryptographyHandlers = Handlers<typeof CryptographyService, undefined>;

export function cryptographyHandlers(options: {
  keyStore: KeyStore;
  keyMaker: KeyMaker;
}): CryptographyHandlers {
  const { keyMaker, keyStore } = options;
  return {
    async encrypt(request, context) {
      const key = await keyStore.require(request.name, 0, "encrypt");
      context.note({ version: key.facts.version });
      return { ciphertext: await encryptWith(key, request), version: key.facts.version };
    },
    async decrypt(request, context) {
      const { plaintext, version } = await decrypt(keyStore, request.name, request);
      context.note({ version });
      return { plaintext, version };
    },
    async sign(request, context) {
      const key = await keyStore.require(request.name, request.version, "sign");
      context.note({ version: key.facts.version });
      return { signature: await signWith(key, request.message), version: key.facts.version };
    },
    async verify(request, context) {
      const key = await keyStore.require(request.name, request.version, "verify");
      const valid = verifyWith(key, request.message, request.signature);
      context.note({ version: key.facts.version, valid });
      return { valid, version: key.facts.version };
    },
    async generateRandom({ sizeBytes }, context) {
      if (sizeBytes < 1 || sizeBytes > randomBytesMax) {
        throw new DomainError("invalid-argument", `random bytes come 1 to ${randomBytesMax} at a time`);
      }
      context.note({ sizeBytes });
      // Not cleared here: it is the caller's answer, which is about to be written out.
      return { random: (await keyMaker.mixedRandom(sizeBytes)).expose() };
    },
    ...batches(keyStore),
  };
}

function batches(
  keyStore: KeyStore,
): Pick<CryptographyHandlers, "encryptBatch" | "decryptBatch" | "signBatch" | "verifyBatch"> {
  return {
    async encryptBatch(request, context) {
      const key = await keyStore.require(request.name, 0, "encrypt");
      const results = await runBatch(request.items, (item) => encryptWith(key, item));
      context.note({ version: key.facts.version, ...countOf(results) });
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { ciphertext: result.value } : result)),
      };
    },
    async decryptBatch(request, context) {
      const results = await runBatch(request.items, (item) => decrypt(keyStore, request.name, item));
      context.note(countOf(results));
      return {
        results: results.map((result) =>
          "value" in result ? { plaintext: result.value.plaintext } : result,
        ),
      };
    },
    async signBatch(request, context) {
      const key = await keyStore.require(request.name, request.version, "sign");
      const results = await runBatch(request.messages, (message) => signWith(key, message));
      context.note({ version: key.facts.version, ...countOf(results) });
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { signature: result.value } : result)),
      };
    },
    async verifyBatch(request, context) {
      const key = await keyStore.require(request.name, request.version, "verify");
      const results = await runBatch(request.items, async (item) =>
        verifyWith(key, item.message, item.signature),
      );
      context.note({ version: key.facts.version, ...countOf(results) });
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { valid: result.value } : result)),
      };
    },
  };
}

function countOf(results: readonly object[]): { items: number; failed: number } {
  return { items: results.length, failed: results.filter((result) => "error" in result).length };
}
