import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { damaged, splitPayload } from "@claviger/key-ticket";
import type { Delivery } from "@claviger/proto/distribution/v1/delivery_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { SecretBytes } from "@claviger/secret-bytes";
import { RequestVerifier } from "@claviger/signed-request";
import type { Claviger } from "../claviger.ts";
import { ownUri, signed } from "./own-identity.ts";
import { hpkeRecipient, loadRecipientKeys } from "./recipient-keys.ts";
import { openSealed, trustedSigner, verifiedOrCleared } from "./tickets.ts";

/** A key that was delivered to this identity. Dispose of it, best with `using`. */
export interface DeliveredKey extends Disposable {
  /** Raw bytes of a symmetric key, or PKCS #8 in DER. */
  key: SecretBytes;
  delivery: Delivery;
  /** What the generator signed about it. */
  statement: string;
}

const { issueDelivery } = KeyDistributionService.method;
const deliveryMethod = `${KeyDistributionService.typeName}/${issueDelivery.name}`;

/** An exportable key, sealed to registered recipients. @throws DomainError `denied` without the right to export it */
export async function deliverKey(
  claviger: Claviger,
  request: { name: string; recipients: readonly string[]; version?: number; format?: "jwe" | "hpke" },
): Promise<Delivery[]> {
  const { format = "jwe", name, recipients, version = 0 } = request;
  const answer = await claviger.deliveries.deliverKey({
    name,
    signed: signed(claviger, "deliver-key", { name, version, recipients, format }),
  });
  return answer.deliveries;
}

/** Opens a delivery. It can be fetched again until `acknowledgeDelivery` signs for it. */
export async function fetchDelivery(claviger: Claviger, id: string): Promise<DeliveredKey> {
  const { certificateChain, delivery, sealed } = await claviger.deliveries.fetchDelivery({ id });
  if (delivery === undefined || sealed === undefined) throw damaged("it came without its key");
  const { directory, trustBundle } = claviger.identity;
  const keys = loadRecipientKeys(directory);
  const { jws, key, statement } =
    sealed.sealed.case === "jwe"
      ? await openSealed({ keys, trustBundle }, { ticket: sealed.sealed.value, certificateChain }, "delivery")
      : await openHpke(claviger, delivery, sealed.sealed.value, certificateChain);
  const about = statement.name === delivery.name && statement.version === delivery.version;
  if (!about || !statement.recipients.includes(ownUri(claviger))) {
    key[Symbol.dispose]();
    throw damaged(`it is ${statement.name}@${statement.version}, for ${statement.recipients.join(", ")}`);
  }
  return { key, delivery, statement: jws, [Symbol.dispose]: () => key[Symbol.dispose]() };
}

async function openHpke(
  { identity: { directory, trustBundle } }: Claviger,
  { name, version }: Delivery,
  sealed: { encapsulatedKey: Uint8Array; ciphertext: Uint8Array } | undefined,
  certificateChain: string,
) {
  const bound = { method: deliveryMethod, name, version };
  const signer = trustedSigner(certificateChain, trustBundle, new Date());
  for (const privateKey of loadRecipientKeys(directory).all) {
    const recipient = await hpkeRecipient(privateKey);
    const payload = sealed && (await recipient.open(sealed, bound).catch(() => undefined));
    if (payload === undefined) continue;
    const { jws, key } = splitPayload(payload);
    return { jws, key, statement: verifiedOrCleared(jws, key, "delivery", signer) };
  }
  throw damaged("it does not open with this identity's recipient key");
}

/** Signs that the key is here. It is never delivered again. */
export async function acknowledgeDelivery(
  claviger: Claviger,
  { delivery, statement }: Pick<DeliveredKey, "delivery" | "statement">,
): Promise<Delivery> {
  const { id, name, version } = delivery;
  const statementSha256 = createHash("sha256").update(statement, "ascii").digest("base64");
  const fields = { delivery: id, name, version, statementSha256 };
  const answer = await claviger.deliveries.acknowledgeDelivery({
    signed: signed(claviger, "receive-key", fields),
  });
  if (answer.delivery === undefined)
    throw new DomainError("integrity", "the service answered without the delivery");
  return answer.delivery;
}

/** Whether a delivery's receipt was signed by its recipient, with a certificate of this trust domain's. */
export function verifyReceipt(
  { identity, trustDomain }: Pick<Claviger, "identity" | "trustDomain">,
  { id, receipt, receivedAt, recipient }: Delivery,
): boolean {
  if (receipt === undefined || receivedAt === undefined) return false;
  const verifier = new RequestVerifier({ trustDomain, trustBundle: () => identity.trustBundle });
  try {
    const at = new Date(Number(receivedAt.seconds) * 1000);
    const { fields, identity: signer } = verifier.verify(receipt, "receive-key", at, "kept");
    return signer.uri === recipient && fields.delivery === id;
  } catch {
    return false;
  }
}
