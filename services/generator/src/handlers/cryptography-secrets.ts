import type { DecideAccess } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { CallContext } from "@claviger/rpc";
import type { TestedRandom } from "../health/tested-random.ts";
import type { KeyStore } from "../key-store.ts";
import {
  agreeSecret,
  decapsulateSecret,
  encapsulateSecret,
  generateDataKey,
  type Recipient,
  unwrapKey,
  wrapMaterial,
} from "../operations/secrets.ts";
import type { CryptographyHandlers } from "./cryptography.ts";

export interface SecretHandlersOptions {
  keyStore: KeyStore;
  random: TestedRandom;
  decide: DecideAccess;
}

type SecretHandlers = Pick<
  CryptographyHandlers,
  "generateDataKey" | "wrapKey" | "unwrapKey" | "agreeSecret" | "encapsulate" | "decapsulate"
>;
type Method = keyof typeof CryptographyService.method;

/** Operations whose answer is a secret, sealed to whoever asked. */
export function secretHandlers({ decide, keyStore, random }: SecretHandlersOptions): SecretHandlers {
  return {
    async generateDataKey(request, context) {
      const recipient =
        request.recipientPublicKey.length === 0
          ? undefined
          : recipientOf("generateDataKey", request.recipientPublicKey);
      const draw = (lengthBytes: number) => random.mixed(lengthBytes);
      const made = await generateDataKey(keyStore, draw, request, recipient);
      context.note({ version: made.version });
      return made;
    },
    async wrapKey(request, context) {
      await requireExport(decide, request.targetName, context);
      // That it wraps at all is looked at before anything leaves.
      await keyStore.require(request.name, 0, "wrap");
      const target = await keyStore.exportMaterial(request.targetName, request.targetVersion);
      using secret = target.secret;
      const targetVersion = target.facts.version;
      const wrapped = await wrapMaterial(keyStore, request.name, secret);
      context.note({ version: wrapped.version, target: request.targetName, targetVersion });
      return { ...wrapped, targetVersion };
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
