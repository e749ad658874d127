import { DomainError } from "@claviger/domain-error";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { Hsm } from "../hsm/port.ts";
import type { KeyStore } from "../key-store.ts";
import { decrypt, encrypt, reencrypt } from "../operations/encryption.ts";
import { macWith, signWith, verifyMacWith, verifyWith } from "../operations/signing.ts";
import { batchHandlers } from "./cryptography-batches.ts";
import { type SecretHandlersOptions, secretHandlers } from "./cryptography-secrets.ts";
import { noteUse } from "./note-use.ts";

export type CryptographyHandlers = Omit<Handlers<typeof CryptographyService, undefined>, "use" | "useBatch">;

export interface CryptographyOptions extends SecretHandlersOptions {
  hsm: Hsm;
  keyStore: KeyStore;
}

const randomBytesMax = 65_536;

export function cryptographyHandlers(options: CryptographyOptions): CryptographyHandlers {
  return {
    ...encryptionHandlers(options),
    ...signingHandlers(options),
    ...secretHandlers(options),
    ...batchHandlers(options),
    async generateRandom({ sizeBytes }, context) {
      if (sizeBytes < 1 || sizeBytes > randomBytesMax) {
        throw new DomainError("invalid-argument", `random bytes come 1 to ${randomBytesMax} at a time`);
      }
      context.note({ sizeBytes });
      // Not cleared here: it is the caller's answer, which is about to be written out.
      return { random: (await options.random.mixed(sizeBytes)).expose() };
    },
  };
}

function encryptionHandlers({
  keyStore,
  uses,
}: CryptographyOptions): Pick<CryptographyHandlers, "encrypt" | "decrypt" | "reencrypt"> {
  return {
    async encrypt(request, context) {
      const answer = await encrypt(keyStore, request.name, request);
      noteUse(uses, context, request.name, answer.version);
      return answer;
    },
    async decrypt(request, context) {
      const { plaintext, version } = await decrypt(keyStore, request.name, request);
      noteUse(uses, context, request.name, version);
      return { plaintext, version };
    },
    async reencrypt(request, context) {
      const answer = await reencrypt(keyStore, request.name, request);
      const { previousVersion, version } = answer;
      uses.count(context.caller.uri, request.name, previousVersion);
      noteUse(uses, context, request.name, version);
      context.note({ previousVersion });
      return answer;
    },
  };
}

function signingHandlers({
  hsm,
  keyStore,
  uses,
}: CryptographyOptions): Pick<CryptographyHandlers, "sign" | "verify" | "mac" | "verifyMac"> {
  return {
    async sign(request, context) {
      const key = await keyStore.require(request.name, request.version, "sign");
      const { version } = key.facts;
      context.note({ version });
      const signature = await signWith(key, request);
      noteUse(uses, context, request.name, version);
      return { signature, version };
    },
    async verify(request, context) {
      const key = await keyStore.require(request.name, request.version, "verify");
      const valid = await verifyWith(hsm, key, request, request.signature);
      noteUse(uses, context, request.name, key.facts.version);
      context.note({ valid });
      return { valid, version: key.facts.version };
    },
    async mac(request, context) {
      const key = await keyStore.require(request.name, request.version, "mac");
      const { version } = key.facts;
      context.note({ version });
      const tag = await macWith(key, request.message);
      noteUse(uses, context, request.name, version);
      return { tag, version };
    },
    async verifyMac(request, context) {
      const key = await keyStore.require(request.name, request.version, "verify-mac");
      const valid = await verifyMacWith(key, request.message, request.tag);
      noteUse(uses, context, request.name, key.facts.version);
      context.note({ valid });
      return { valid, version: key.facts.version };
    },
  };
}
