import type { DecideAccess } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { CallContext } from "@claviger/rpc";
import type { KeyMaker } from "../key-maker.ts";
import type { KeyStore } from "../key-store.ts";
import {
  agreeSecret,
  decapsulateSecret,
  encapsulateSecret,
  generateDataKey,
  type Recipient,
  unwrapKey,
} from "../operations/secrets.ts";
import type { CryptographyHandlers } from "./cryptography.ts";

export interface SecretHandlersOptions {
  keyStore: KeyStore;
  keyMaker: KeyMaker;
  decide: DecideAccess;
}

type SecretHandlers = Pick<
  CryptographyHandlers,
  "generateDataKey" | "wrapKey" | "unwrapKey" | "agreeSecret" | "encapsulate" | "decapsulate"
>;
type Method = keyof typeof CryptographyService.method;

/** Operations whose answer is a secret, sealed to whoever asked. */
export function secretHandlers({ decide, keyMaker, keyStore }: SecretHandlersOptions): SecretHandlers {
  return {
    async generateDataKey(request, context) {
      const key = await keyStore.require(request.name, 0, "encrypt", "wrap");
      context.note({ version: key.facts.version });
      const recipient =
        request.recipientPublicKey.length === 0
          ? undefined
          : recipientOf("generateDataKey", request.recipientPublicKey);
      const made = await generateDataKey(
        (lengthBytes) => keyMaker.mixedRandom(lengthBytes),
        key,
        request.associatedData,
        recipient,
      );
      return { ...made, version: key.facts.version };
    },
    async wrapKey(request, context) {
      await requireExport(decide, request.targetName, context);
      const key = await keyStore.require(request.name, 0, "wrap");
      const target = await keyStore.exportMaterial(request.targetName, request.targetVersion);
      using secret = target.secret;
      context.note({
        version: key.facts.version,
        target: request.targetName,
        targetVersion: target.facts.version,
      });
      return {
        wrappedKey: await key.use((mechanism) => mechanism.wrap!(secret)),
        version: key.facts.version,
        targetVersion: target.facts.version,
      };
    },
    async unwrapKey(request, context) {
      const key = await keyStore.require(request.name, request.version, "unwrap");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("unwrapKey", request.recipientPublicKey);
      return {
        sealedKey: await unwrapKey(key, request.wrappedKey, recipient),
        version: key.facts.version,
      };
    },
    async agreeSecret(request, context) {
      const key = await keyStore.require(request.name, request.version, "agree");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("agreeSecret", request.recipientPublicKey);
      return {
        sealedSecret: await agreeSecret(key, request.peerPublicKey, request, recipient),
        version: key.facts.version,
      };
    },
    async encapsulate(request, context) {
      const key = await keyStore.require(request.name, request.version, "encapsulate");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("encapsulate", request.recipientPublicKey);
      return { ...(await encapsulateSecret(key, recipient)), version: key.facts.version };
    },
    async decapsulate(request, context) {
      const key = await keyStore.require(request.name, request.version, "decapsulate");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("decapsulate", request.recipientPublicKey);
      return {
        sealedSecret: await decapsulateSecret(key, request.encapsulation, recipient),
        version: key.facts.version,
      };
    },
  };
}

function recipientOf(method: Method, publicKey: Uint8Array): Recipient {
  return { publicKey, method: `${CryptographyService.typeName}/${CryptographyService.method[method].name}` };
}

/** What leaves is the other key: its own export right decides too. */
async function requireExport(
  decide: DecideAccess,
  resource: string,
  { caller, certificateSerial }: CallContext<undefined>,
): Promise<void> {
  const permission = "keys.export";
  const answer = await decide({ identity: caller.uri, certificateSerial, permission, resource });
  if (!answer.allowed) throw new DomainError("denied", answer.reason);
}
