import { DomainError } from "@claviger/domain-error";
import { joinPayload, keyDigest, sealTicket } from "@claviger/key-ticket";
import {
  type IssueDeliveryRequest,
  KeyDistributionService,
} from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { sealSecret } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import { listField, numberField, textField } from "@claviger/signed-request";
import type { MixedRandom } from "../key-material.ts";
import type { KeyStore } from "../key-store.ts";
import type { RequestDesk } from "./requests.ts";
import type { TicketSigner } from "./ticket-signer.ts";

export interface DeliveriesOptions {
  desk: RequestDesk;
  signer: TicketSigner;
  keyStore: KeyStore;
  random: MixedRandom;
  now: () => Date;
}

export const recipientsMax = 100;
const nonceBytes = 16;
const deliveryMethod = `${KeyDistributionService.typeName}/${KeyDistributionService.method.issueDelivery.name}`;

/** An exportable key for recipients whose keys are registered. Who asked has the right to export it. */
export async function issueDelivery(options: DeliveriesOptions, request: IssueDeliveryRequest) {
  const { desk, keyStore, now, random, signer } = options;
  const asked = await desk.open(request.signed, "deliver-key");
  const name = textField(asked.fields, "name");
  const format = textField(asked.fields, "format");
  await desk.requireRight(asked, "keys.export", name);
  const recipients = listField(asked.fields, "recipients");
  if (recipients.length === 0 || recipients.length > recipientsMax) {
    throw new DomainError(
      "invalid-argument",
      `a key is delivered to 1 to ${recipientsMax} recipients at a time`,
    );
  }
  const found = await Promise.all(request.recipients.map((bound) => desk.recipient(bound)));
  if (recipients.length !== found.length || found.some(({ identity }, at) => identity !== recipients[at])) {
    throw new DomainError("denied", "the recipients are not those that the request names");
  }
  const { facts, secret } = await keyStore.exportMaterial(name, numberField(asked.fields, "version"));
  using key = secret;
  using nonce = await random(nonceBytes);
  const { jws, signerVersion } = await signer.sign({
    v: 1,
    kind: "delivery",
    algorithm: facts.algorithm,
    name,
    version: facts.version,
    sender: asked.identity.uri,
    recipients,
    keyDigest: keyDigest(key),
    nonce: Buffer.from(nonce.expose()).toString("base64"),
    notBefore: now().toISOString(),
  });
  const bound = { name, version: facts.version, format };
  const deliveries = [];
  for (const { key: publicKey } of found) deliveries.push({ sealed: await seal(publicKey, bound, jws, key) });
  return { deliveries, keyVersion: facts.version, algorithm: facts.algorithm, signerVersion };
}

async function seal(
  publicKey: Buffer,
  { format, name, version }: { name: string; version: number; format: string },
  jws: string,
  key: SecretBytes,
) {
  if (format === "jwe") return { case: "jwe" as const, value: await sealTicket(publicKey, jws, key) };
  if (format === "hpke") {
    using payload = joinPayload(jws, key);
    const bound = { method: deliveryMethod, name, version };
    return { case: "hpke" as const, value: await sealSecret(publicKey, bound, payload) };
  }
  throw new DomainError("invalid-argument", `"${format.slice(0, 20)}" is not a format of deliveries`, {
    hint: "formats are jwe and hpke",
  });
}
