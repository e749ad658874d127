import { createHash, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { CompactEncrypt, compactDecrypt, importJWK } from "jose";
import { joinPayload, splitPayload } from "./payload.ts";
import { damaged } from "./statement.ts";

export const recipientKeyBytes = 32;
const jweCharactersMax = 512 * 1024;

/** Names a recipient's key: what a ticket's `kid` says. */
export function recipientKeyId(publicKey: Uint8Array): string {
  return createHash("sha256").update(publicKey).digest("base64url").slice(0, 22);
}

/**
 * A compact JWE (RFC 7516) to an X25519 key (RFC 8037): ECDH-ES, A256GCM. Its plaintext is bytes, so that the
 * key never is a string; jose hands them to WebCrypto as they are.
 * @throws DomainError `invalid-argument` where the recipient's key is none
 */
export async function sealTicket(
  recipientPublicKey: Uint8Array,
  jws: string,
  key: SecretBytes,
): Promise<string> {
  using payload = joinPayload(jws, key);
  const x = Buffer.from(recipientPublicKey).toString("base64url");
  try {
    const recipient = await importJWK({ kty: "OKP", crv: "X25519", x }, "ECDH-ES");
    return await new CompactEncrypt(payload.expose())
      .setProtectedHeader({
        alg: "ECDH-ES",
        enc: "A256GCM",
        kid: recipientKeyId(recipientPublicKey),
        cty: "claviger-key",
      })
      .encrypt(recipient);
  } catch (cause) {
    throw new DomainError("invalid-argument", "the recipient's key is not an X25519 key of 32 bytes", {
      cause,
    });
  }
}

/** Which recipient key a ticket was sealed to; undefined where it is no ticket. */
export function ticketKeyId(jwe: string): string | undefined {
  if (jwe.length > jweCharactersMax || !/^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$/.test(jwe))
    return undefined;
  try {
    const header: unknown = JSON.parse(Buffer.from(jwe.split(".")[0]!, "base64url").toString("utf8"));
    const { kid } = header as { kid?: unknown };
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** @throws DomainError `integrity` where it was sealed to another key, or was changed */
export async function openTicket(
  jwe: string,
  privateKey: KeyObject,
): Promise<{ jws: string; key: SecretBytes }> {
  if (ticketKeyId(jwe) === undefined) throw damaged("it is no ticket");
  let plaintext: Uint8Array;
  try {
    ({ plaintext } = await compactDecrypt(jwe, privateKey, {
      keyManagementAlgorithms: ["ECDH-ES"],
      contentEncryptionAlgorithms: ["A256GCM"],
    }));
  } catch (cause) {
    throw damaged("it does not open with this identity's recipient key", cause);
  }
  return splitPayload(SecretBytes.take(plaintext));
}
