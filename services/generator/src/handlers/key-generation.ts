import { refuseSilence } from "@claviger/access";
import type { Client } from "@claviger/client";
import {
  CreateKeyRequestSchema,
  CreateKeyringRequestSchema,
  CreateKeyVersionRequestSchema,
  type KeyGenerationService,
  type KeyringService,
  RotateKeyringRequestSchema,
} from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { SignedRecord } from "../generation-record.ts";
import type { KeyringKeys } from "../keyring-keys.ts";
import { type KeyTransferOptions, keyTransferHandlers } from "./key-transfer.ts";
import { originalOf } from "./original-call.ts";

export function keyringHandlers(
  keyringKeys: KeyringKeys,
  attestCeremony: () => Promise<SignedRecord>,
): Handlers<typeof KeyringService, undefined> {
  return {
    attestCeremony,
    async createKeyring(request, context) {
      const original = originalOf(context, CreateKeyringRequestSchema, request);
      return { keyring: await keyringKeys.create(request.name, original) };
    },
    async rotateKeyring(request, context) {
      const original = originalOf(context, RotateKeyringRequestSchema, request);
      const keyring = await keyringKeys.rotate(request.name, original);
      context.note({ generation: keyring.generations.at(-1)?.generation ?? 0 });
      return { keyring };
    },
  };
}

export function keyGenerationHandlers(
  options: KeyTransferOptions & {
    storage: Client<typeof KeyMaterialService>;
    attestDestruction: (name: string) => Promise<SignedRecord>;
  },
): Handlers<typeof KeyGenerationService, undefined> {
  const { keyMaker, keyStore, storage } = options;
  return {
    ...keyTransferHandlers(options),
    async createKey(request, context) {
      const key = await keyMaker.createKey(request, originalOf(context, CreateKeyRequestSchema, request));
      context.note({ keyId: key.id, algorithm: key.algorithm, protection: key.protection });
      return { key };
    },
    async createKeyVersion(request, context) {
      const original = originalOf(context, CreateKeyVersionRequestSchema, request);
      const key = await keyMaker.createVersion(request, original);
      context.note({ keyId: key.id, version: key.latestVersion });
      return { key };
    },
    async attestKey({ name, version }, context) {
      const answer = await storage.getGenerationRecord({ name, version }).catch(refuseSilence);
      context.note({ version: answer.version });
      const { record, signature, signerVersion } = answer.generationRecord!;
      return { name, version: answer.version, record, signature, signerVersion };
    },
    async attestDestruction({ name }) {
      return { name, ...(await options.attestDestruction(name)) };
    },
    async getPublicKey(request, context) {
      const { facts } = await keyStore.require(request.name, request.version, "public-key");
      context.note({ version: facts.version });
      return {
        name: facts.name,
        version: facts.version,
        algorithm: facts.algorithm,
        subjectPublicKeyInfo: facts.subjectPublicKeyInfo,
      };
    },
  };
}
