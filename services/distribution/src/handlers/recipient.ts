import { timingSafeEqual } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import { recipientKeyBytes, recipientKeyId } from "@claviger/key-ticket";
import {
  RecipientSchema,
  RecipientService,
  RegisterRecipientRequestSchema,
  RegisterRecipientResponseSchema,
} from "@claviger/proto/distribution/v1/recipient_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { bytesField } from "@claviger/signed-request";
import type { ExchangeContext } from "../exchange/context.ts";
import { fieldsOf } from "../exchange/recipients.ts";
import { publish, type Registry } from "../registry.ts";
import { findRecipient, listRecipients, type RecipientRow, saveRecipient } from "../store/recipients.ts";

const challengeLifetimeMilliseconds = 5 * 60_000;
const challengeMethod = `${RecipientService.typeName}/${RecipientService.method.beginRecipient.name}`;

export function recipientHandlers(shared: ExchangeContext): Handlers<typeof RecipientService, Transaction> {
  return {
    async beginRecipient({ publicKey }, { caller, unit }) {
      const registry = shared.open(unit);
      const expiresAt = new Date(registry.now.getTime() + challengeLifetimeMilliseconds);
      using challenge = SecretBytes.take(challengeFor(registry, caller.uri, publicKey, expiresAt));
      const bound = { method: challengeMethod, name: caller.uri, version: 1 };
      return {
        sealedChallenge: await sealSecret(publicKey, bound, challenge),
        expiresAt: timestampFromDate(expiresAt),
      };
    },
    async registerRecipient(request, context) {
      const registry = shared.open(context.unit);
      const { caller } = context;
      const { fields, signed } = fieldsOf(request.signed, "register-recipient", context);
      const publicKey = bytesField(fields, "publicKey", recipientKeyBytes);
      const requestHash = hashRequest(RegisterRecipientRequestSchema, request);
      const asked = { caller: caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RegisterRecipientResponseSchema, async () => {
        const expiresAt = request.expiresAt === undefined ? new Date(0) : timestampDate(request.expiresAt);
        const expected = challengeFor(registry, caller.uri, publicKey, expiresAt);
        requirePossession(registry, expected, request.challenge, expiresAt);
        const { recipient } = await shared.distribute.bindRecipient({ signed });
        const row = await keepRecipient(registry, caller.uri, publicKey, recipient!);
        return create(RegisterRecipientResponseSchema, { recipient: recipientMessage(row) });
      });
      context.note({ keyId: response.recipient?.keyId ?? "" });
      return response;
    },
    async listRecipients(request, { unit }) {
      const { sealer } = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listRecipients(unit, sealer, readPageToken(request.pageToken), limit);
      return {
        recipients: rows.map(recipientMessage),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.identity),
      };
    },
  };
}

/** Any replica knows it again: it is made with the key of the row seals, and kept nowhere. */
function challengeFor(
  { sealer }: Registry,
  identity: string,
  publicKey: Uint8Array,
  expiresAt: Date,
): Buffer {
  return sealer.seal("recipient_challenges", { identity, publicKey: Buffer.from(publicKey), expiresAt });
}

function requirePossession({ now }: Registry, expected: Buffer, answer: Uint8Array, expiresAt: Date): void {
  const answered = expected.length === answer.length && timingSafeEqual(expected, answer);
  if (answered && expiresAt.getTime() > now.getTime()) return;
  throw new DomainError(
    "denied",
    "the challenge was not answered: whoever registers a key must have its private half",
    {
      hint: "begin again: claviger recipients register",
    },
  );
}

async function keepRecipient(
  registry: Registry,
  identity: string,
  publicKey: Buffer,
  bound: { record: string; mac: Uint8Array },
): Promise<RecipientRow> {
  const before = await findRecipient(registry.tx, registry.sealer, identity, "lock");
  const { notAfter, registeredAt } = JSON.parse(bound.record) as { registeredAt: string; notAfter: string };
  const row: RecipientRow = {
    identity,
    publicKey,
    record: bound.record,
    mac: Buffer.from(bound.mac),
    registeredAt: new Date(registeredAt),
    notAfter: new Date(notAfter),
    revision: (before?.revision ?? 0) + 1,
  };
  await saveRecipient(registry.tx, registry.sealer, row);
  await publish(registry, "recipient.registered", "recipients");
  return row;
}

function recipientMessage(row: RecipientRow) {
  return create(RecipientSchema, {
    identity: row.identity,
    publicKey: row.publicKey,
    keyId: recipientKeyId(row.publicKey),
    registeredAt: timestampFromDate(row.registeredAt),
    notAfter: timestampFromDate(row.notAfter),
  });
}
