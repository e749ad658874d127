import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { DomainError, isDomainError } from "@claviger/domain-error";
import {
  type ImportKeyRequest,
  ImportKeyRequestSchema,
  KeyGenerationService,
} from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { sealSecret } from "@claviger/sealed-secret";
import type { ImportDesk } from "../import-desk.ts";
import type { Imported } from "../imported-material.ts";
import type { KeyMaker } from "../key-maker.ts";
import type { KeyStore } from "../key-store.ts";
import { checkSize, publicKeyBytesMax } from "../operations/limits.ts";
import type { UseReports } from "../use-reports.ts";
import { originalOf } from "./original-call.ts";

export interface KeyTransferOptions {
  desk: ImportDesk;
  keyMaker: KeyMaker;
  keyStore: KeyStore;
  uses: UseReports;
}

type TransferHandlers = Pick<
  Handlers<typeof KeyGenerationService, undefined>,
  "beginImport" | "importKey" | "exportKey"
>;

const { exportKey, importKey } = KeyGenerationService.method;

/** What a request brings: a secret that it sealed, or a public half as it is. */
async function importedBy(
  request: ImportKeyRequest,
  caller: string,
  desk: ImportDesk,
): Promise<Imported & Disposable> {
  const { name, publicKey, sealedMaterial } = request;
  if (publicKey.length > 0) {
    if (sealedMaterial !== undefined || request.exportable || request.rotationPeriodSeconds !== 0n) {
      throw new DomainError(
        "invalid-argument",
        "a public half alone comes without sealed material, and is neither exported nor rotated",
      );
    }
    if (!["", "software"].includes(request.protection)) {
      throw new DomainError("invalid-argument", "a public half alone has no use for the HSM's protection");
    }
    checkSize(publicKey, publicKeyBytesMax, "public key");
    return { publicKey, [Symbol.dispose]() {} };
  }
  if (sealedMaterial === undefined) {
    throw new DomainError("invalid-argument", "the request carries neither sealed material nor a public key");
  }
  const method = `${KeyGenerationService.typeName}/${importKey.name}`;
  const secret = await desk.open(request.importId, { caller, name }, sealedMaterial, method);
  return { secret, [Symbol.dispose]: () => secret[Symbol.dispose]() };
}

/** Keys that come from elsewhere, and keys that leave: both sealed, so that a message shows nothing of them. */
export function keyTransferHandlers({
  desk,
  keyMaker,
  keyStore,
  uses,
}: KeyTransferOptions): TransferHandlers {
  return {
    async beginImport({ name }, { caller }) {
      const { expiresAt, id, publicKey } = await desk.begin(caller.uri, name);
      return {
        importId: id,
        wrappingPublicKey: publicKey,
        expiresAt: timestampFromDate(expiresAt),
      };
    },
    async importKey(request, context) {
      using imported = await importedBy(request, context.caller.uri, desk);
      const original = originalOf(context, ImportKeyRequestSchema, request);
      const key = await keyMaker.createKey(request, original, imported).catch((error: unknown) => {
        // A key that fails the tests of a new one is what the caller brought, not our fault.
        if (!isDomainError(error, "internal")) throw error;
        throw new DomainError("invalid-argument", "the imported key fails the tests of a new key", {
          hint: "a private key must agree with its public half; RSA needs the exponent 65537",
        });
      });
      context.note({ keyId: key.id, algorithm: key.algorithm, imported: true });
      return { key };
    },
    async exportKey({ name, recipientPublicKey, version }, context) {
      const { facts, secret: material } = await keyStore.exportMaterial(name, version);
      using secret = material;
      context.note({ version: facts.version });
      const method = `${KeyGenerationService.typeName}/${exportKey.name}`;
      const bound = { method, name, version: facts.version };
      const sealedMaterial = await sealSecret(recipientPublicKey, bound, secret);
      uses.count(context.caller.uri, name, facts.version);
      return { name, version: facts.version, algorithm: facts.algorithm, sealedMaterial };
    },
  };
}
