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
import type { UseReports } from "../use-reports.ts";
import type { CryptographyHandlers } from "./cryptography.ts";
import { noteUse } from "./note-use.ts";

export interface SecretHandlersOptions {
  keyStore: KeyStore;
  random: TestedRandom;
  decide: DecideAccess;
  uses: UseReports;
}

type SecretHandlers = Pick<
  CryptographyHandlers,
  "generateDataKey" | "wrapKey" | "unwrapKey" | "agreeSecret" | "encapsulate" | "decapsulate"
>;
type Method = keyof typeof CryptographyService.method;

/** Operations whose answer is a secret, sealed to whoever asked. */
export function secretHandlers({ decide, keyStore, random, uses }: SecretHandlersOptions): SecretHandlers {
  return {
    async generateDataKey(request, context) {
      const recipient =
        request.recipientPublicKey.length === 0
          ? undefined
          : recipientOf("generateDataKey", request.recipientPublicKey);
      const draw = (lengthBytes: number) => random.mixed(lengthBytes);
      const made = await generateDataKey(keyStore, draw, request, recipient);
      noteUse(uses, context, request.name, made.version);
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
      uses.count(context.caller.uri, request.targetName, targetVersion);
      noteUse(uses, context, request.name, wrapped.version);
      context.note({ target: request.targetName, targetVersion });
      return { ...wrapped, targetVersion };
    },
    async unwrapKey(request, context) {
      const key = await keyStore.require(request.name, request.version, "unwrap");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("unwrapKey", request.recipientPublicKey);
      const sealedKey = await unwrapKey(key, request.wrappedKey, recipient);
      noteUse(uses, context, request.name, key.facts.version);
      return { sealedKey, version: key.facts.version };
    },
    async agreeSecret(request, context) {
      const key = await keyStore.require(request.name, request.version, "agree");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("agreeSecret", request.recipientPublicKey);
      const sealedSecret = await agreeSecret(key, request.peerPublicKey, request, recipient);
      noteUse(uses, context, request.name, key.facts.version);
      return { sealedSecret, version: key.facts.version };
    },
    async encapsulate(request, context) {
      const key = await keyStore.require(request.name, request.version, "encapsulate");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("encapsulate", request.recipientPublicKey);
      const made = await encapsulateSecret(key, recipient);
      noteUse(uses, context, request.name, key.facts.version);
      return { ...made, version: key.facts.version };
    },
    async decapsulate(request, context) {
      const key = await keyStore.require(request.name, request.version, "decapsulate");
      context.note({ version: key.facts.version });
      const recipient = recipientOf("decapsulate", request.recipientPublicKey);
      const sealedSecret = await decapsulateSecret(key, request.encapsulation, recipient);
      noteUse(uses, context, request.name, key.facts.version);
      return { sealedSecret, version: key.facts.version };
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
  // An approval is claimed for a request of one resource: the wrapping key's, here.
  if (answer.needsApproval === true) {
    throw new DomainError(
      "denied",
      `the export of ${resource} takes approvals, and a wrap cannot show them`,
      {
        hint: "use claviger keys export, which waits for them",
      },
    );
  }
}
