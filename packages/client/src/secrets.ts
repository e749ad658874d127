import type { DescService } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import { CryptographyService, type SealedSecret } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { Key } from "@claviger/proto/storage/v1/key_pb.ts";
import { createRecipient, type SecretRecipient, sealSecret } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { CallOptions } from "./call.ts";
import type { Claviger } from "./claviger.ts";

/** A secret, opened here; dispose of it, best with `using`. */
export interface OpenedSecret {
  secret: SecretBytes;
  /** Of the key that was used. */
  version: number;
}

export interface AgreementRequest {
  name: string;
  /** SubjectPublicKeyInfo, DER. */
  peerPublicKey: Uint8Array;
  version?: number;
  /** 0: the agreed secret itself. */
  lengthBytes?: number;
  salt?: Uint8Array;
  info?: Uint8Array;
}

type Cryptography = Pick<Claviger, "cryptography">;
type Method = keyof typeof CryptographyService.method;

/**
 * Operations whose answer is a secret. Each makes a key pair for its one answer, which the generator
 * seals to it: the secret never travels as it is.
 */
export const secrets = {
  /** A fresh 256-bit key, and the same encrypted, to be kept beside what it protects. */
  async generateDataKey(
    { cryptography }: Cryptography,
    request: { name: string; associatedData?: Uint8Array },
    options?: CallOptions,
  ): Promise<OpenedSecret & { encryptedKey: Uint8Array }> {
    const recipient = await createRecipient();
    const recipientPublicKey = recipient.publicKey;
    const answer = await cryptography.generateDataKey({ ...request, recipientPublicKey }, options);
    const opened = await open(recipient, "generateDataKey", request.name, answer.version, answer.sealedKey);
    return { ...opened, encryptedKey: answer.encryptedKey };
  },

  async unwrapKey(
    { cryptography }: Cryptography,
    request: { name: string; wrappedKey: Uint8Array; version?: number },
    options?: CallOptions,
  ): Promise<OpenedSecret> {
    const recipient = await createRecipient();
    const recipientPublicKey = recipient.publicKey;
    const answer = await cryptography.unwrapKey({ ...request, recipientPublicKey }, options);
    return open(recipient, "unwrapKey", request.name, answer.version, answer.sealedKey);
  },

  /** The secret with a peer, or what HKDF-SHA256 derives from it. */
  async agreeSecret(
    { cryptography }: Cryptography,
    request: AgreementRequest,
    options?: CallOptions,
  ): Promise<OpenedSecret> {
    const recipient = await createRecipient();
    const recipientPublicKey = recipient.publicKey;
    const answer = await cryptography.agreeSecret({ ...request, recipientPublicKey }, options);
    return open(recipient, "agreeSecret", request.name, answer.version, answer.sealedSecret);
  },

  async encapsulate(
    { cryptography }: Cryptography,
    request: { name: string; version?: number },
    options?: CallOptions,
  ): Promise<OpenedSecret & { encapsulation: Uint8Array }> {
    const recipient = await createRecipient();
    const recipientPublicKey = recipient.publicKey;
    const answer = await cryptography.encapsulate({ ...request, recipientPublicKey }, options);
    const opened = await open(recipient, "encapsulate", request.name, answer.version, answer.sealedSecret);
    return { ...opened, encapsulation: answer.encapsulation };
  },

  async decapsulate(
    { cryptography }: Cryptography,
    request: { name: string; encapsulation: Uint8Array; version?: number },
    options?: CallOptions,
  ): Promise<OpenedSecret> {
    const recipient = await createRecipient();
    const recipientPublicKey = recipient.publicKey;
    const answer = await cryptography.decapsulate({ ...request, recipientPublicKey }, options);
    return open(recipient, "decapsulate", request.name, answer.version, answer.sealedSecret);
  },
};

/**
 * Makes a key of material that was made elsewhere: raw bytes of a symmetric key, or PKCS #8 in DER. It is
 * sealed here to a wrapping key of the generator's for this one import.
 */
export async function importKey(
  { keyGeneration }: Pick<Claviger, "keyGeneration">,
  request: {
    name: string;
    algorithm: string;
    /** `software` or `hsm`; `software` where left out or empty. */
    protection?: string;
    exportable?: boolean;
    destroyAfterDays?: number;
  },
  material: SecretBytes,
  options?: CallOptions,
): Promise<Key | undefined> {
  const { importId, wrappingPublicKey } = await keyGeneration.beginImport({ name: request.name }, options);
  const context = { method: methodName(KeyGenerationService, "importKey"), name: request.name, version: 1 };
  const sealedMaterial = await sealSecret(wrappingPublicKey, context, material);
  const { key } = await keyGeneration.importKey({ ...request, importId, sealedMaterial }, options);
  return key;
}

/** The key of a new backup, opened here, and what only the recovery key's custodians open again. */
export async function beginBackup({ backup }: Pick<Claviger, "backup">) {
  const recipient = await createRecipient();
  const answer = await backup.beginBackup({ recipientPublicKey: recipient.publicKey });
  if (answer.sealedKey === undefined) throw new DomainError("integrity", "an answer came without its secret");
  const context = { method: methodName(BackupService, "beginBackup"), name: answer.backupId, version: 1 };
  return { ...answer, key: await recipient.open(answer.sealedKey, context) };
}

function methodName<S extends DescService>(service: S, method: keyof S["method"] & string): string {
  return `${service.typeName}/${service.method[method]!.name}`;
}

async function open(
  recipient: SecretRecipient,
  method: Method,
  name: string,
  version: number,
  sealed: SealedSecret | undefined,
): Promise<OpenedSecret> {
  if (sealed === undefined) throw new DomainError("integrity", "an answer came without its secret");
  const context = {
    method: methodName(CryptographyService, method),
    name,
    version,
  };
  return { secret: await recipient.open(sealed, context), version };
}
