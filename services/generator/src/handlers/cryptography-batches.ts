import type { CallContext } from "@claviger/rpc";
import type { Hsm } from "../hsm/port.ts";
import type { KeyStore } from "../key-store.ts";
import { checkBatch, type ItemResult, runBatch } from "../operations/batch.ts";
import { decrypt, sealItem } from "../operations/encryption.ts";
import { checkSize, plaintextBytesMax } from "../operations/limits.ts";
import { verifyWith } from "../operations/signing.ts";
import type { UseReports } from "../use-reports.ts";
import type { CryptographyHandlers } from "./cryptography.ts";

const none = new Uint8Array(0);

/** Batches with one key: one decision, one audit record, and an error for each item that fails. */
export function batchHandlers({
  hsm,
  keyStore,
  uses,
}: {
  hsm: Hsm;
  keyStore: KeyStore;
  uses: UseReports;
}): Pick<CryptographyHandlers, "encryptBatch" | "decryptBatch" | "signBatch" | "verifyBatch"> {
  return {
    async encryptBatch(request, context) {
      const { items } = request;
      checkBatch(items);
      const { key, value: results } = await keyStore.protect(
        request.name,
        ["encrypt"],
        items.length,
        (mechanism, current) => runBatch(items, (item) => sealItem(current, mechanism, item)),
      );
      noteUses(uses, context, request.name, key.facts.version, results);
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { ciphertext: result.value } : result)),
      };
    },
    async decryptBatch(request, context) {
      const results = await runBatch(request.items, (item) => decrypt(keyStore, request.name, item));
      context.note(countOf(results));
      for (const result of results) {
        if ("value" in result) uses.count(context.caller.uri, request.name, result.value.version);
      }
      return {
        results: results.map((result) =>
          "value" in result ? { plaintext: result.value.plaintext } : result,
        ),
      };
    },
    async signBatch(request, context) {
      const key = await keyStore.require(request.name, request.version, "sign");
      const results = await key.use((mechanism) =>
        runBatch(request.messages, (message) => {
          checkSize(message, plaintextBytesMax, "message");
          return mechanism.sign!(message);
        }),
      );
      noteUses(uses, context, request.name, key.facts.version, results);
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { signature: result.value } : result)),
      };
    },
    async verifyBatch(request, context) {
      const key = await keyStore.require(request.name, request.version, "verify");
      const results = await runBatch(request.items, ({ message, signature }) =>
        verifyWith(hsm, key, { message, digest: none, context: none }, signature),
      );
      noteUses(uses, context, request.name, key.facts.version, results);
      return {
        version: key.facts.version,
        results: results.map((result) => ("value" in result ? { valid: result.value } : result)),
      };
    },
  };
}

/** Those that failed used nothing. */
function noteUses(
  uses: UseReports,
  context: CallContext<undefined>,
  name: string,
  version: number,
  results: readonly ItemResult<unknown>[],
): void {
  const { failed, items } = countOf(results);
  context.note({ version, items, failed });
  uses.count(context.caller.uri, name, version, items - failed);
}

function countOf(results: readonly ItemResult<unknown>[]): { items: number; failed: number } {
  return { items: results.length, failed: results.filter((result) => "error" in result).length };
}
