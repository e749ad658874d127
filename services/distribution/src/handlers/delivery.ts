import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AcknowledgeDeliveryRequestSchema,
  AcknowledgeDeliveryResponseSchema,
  DeliverKeyRequestSchema,
  DeliverKeyResponseSchema,
  DeliverySchema,
  type DeliveryService,
} from "@claviger/proto/distribution/v1/delivery_pb.ts";
import {
  SealedDeliverySchema,
  SignedRequestSchema,
} from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { listField, textField } from "@claviger/signed-request";
import type { ExchangeContext } from "../exchange/context.ts";
import { checkParty } from "../exchange/names.ts";
import { fieldsOf, requireRecipient } from "../exchange/recipients.ts";
import { publish, type Registry } from "../registry.ts";
import {
  type DeliveryRow,
  findDelivery,
  insertDelivery,
  keepReceipt,
  listDeliveries,
} from "../store/deliveries.ts";

type DeliveryHandlers = Handlers<typeof DeliveryService, Transaction>;

const recipientsMax = 100;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function deliveryHandlers(shared: ExchangeContext): DeliveryHandlers {
  return {
    ...recipientsHandlers(shared),
    async deliverKey(request, context) {
      const registry = shared.open(context.unit);
      const { fields, signed } = fieldsOf(request.signed, "deliver-key", context);
      const recipients = listField(fields, "recipients").map((name) => checkParty(shared.trustDomain, name));
      if (request.name !== textField(fields, "name")) {
        throw new DomainError("invalid-argument", "the signed request names another key");
      }
      if (
        recipients.length === 0 ||
        recipients.length > recipientsMax ||
        new Set(recipients).size < recipients.length
      ) {
        throw new DomainError(
          "invalid-argument",
          `a key is delivered to 1 to ${recipientsMax} different recipients`,
        );
      }
      context.concerns(recipients.join(" "));
      const requestHash = hashRequest(DeliverKeyRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, DeliverKeyResponseSchema, async () => {
        const bound = [];
        for (const recipient of recipients) bound.push(await requireRecipient(registry, recipient));
        const issued = await shared.distribute.issueDelivery({ signed, recipients: bound });
        const deliveries = [];
        for (const [at, recipient] of recipients.entries()) {
          const row: DeliveryRow = {
            id: randomUUID(),
            recipient,
            keyName: request.name,
            keyVersion: issued.keyVersion,
            algorithm: issued.algorithm,
            sender: context.caller.uri,
            format: textField(fields, "format"),
            signerVersion: issued.signerVersion,
            sealed: Buffer.from(toBinary(SealedDeliverySchema, issued.deliveries[at]!)),
            createdAt: registry.now,
            receipt: null,
            receivedAt: null,
            revision: 1,
          };
          await insertDelivery(registry.tx, registry.sealer, row);
          deliveries.push(deliveryMessage(row));
        }
        await publish(registry, "key.delivered", request.name, { recipients: recipients.length });
        return create(DeliverKeyResponseSchema, { deliveries });
      });
      context.note({ deliveries: response.deliveries.length });
      return response;
    },
    async listDeliveries(request, { unit }) {
      const { sealer } = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const where = request.name === "" ? {} : { keyName: request.name };
      const rows = await listDeliveries(unit, sealer, where, pageStart(request.pageToken), limit);
      return pageOf(rows, limit);
    },
  };
}

function recipientsHandlers(
  shared: ExchangeContext,
): Pick<DeliveryHandlers, "listWaitingDeliveries" | "fetchDelivery" | "acknowledgeDelivery"> {
  return {
    async listWaitingDeliveries(request, { caller, unit }) {
      const { sealer } = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const where = { waitingFor: caller.uri };
      const rows = await listDeliveries(unit, sealer, where, pageStart(request.pageToken), limit);
      return pageOf(rows, limit);
    },
    async fetchDelivery({ id }, { caller, note, unit }) {
      const registry = shared.open(unit);
      const row = await requireDelivery(registry, id, caller.uri, "read");
      note({ delivery: id });
      if (row.sealed === null) throw alreadyReceived();
      return {
        delivery: deliveryMessage(row),
        sealed: fromBinary(SealedDeliverySchema, row.sealed),
        certificateChain: await shared.chains.chainOf(registry, row.signerVersion, caller.uri),
      };
    },
    async acknowledgeDelivery(request, context) {
      const registry = shared.open(context.unit);
      const { fields, signed } = fieldsOf(request.signed, "receive-key", context);
      const id = textField(fields, "delivery");
      const requestHash = hashRequest(AcknowledgeDeliveryRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AcknowledgeDeliveryResponseSchema, async () => {
        const row = await requireDelivery(registry, id, context.caller.uri, "lock");
        if (row.receipt !== null) throw alreadyReceived();
        // Who keeps a receipt must be able to rely on it.
        shared.receipts.verify(signed, "receive-key", registry.now);
        const received: DeliveryRow = {
          ...row,
          sealed: null,
          receipt: Buffer.from(toBinary(SignedRequestSchema, signed)),
          receivedAt: registry.now,
          revision: row.revision + 1,
        };
        await keepReceipt(registry.tx, registry.sealer, received);
        await publish(registry, "key.received", row.keyName, { version: row.keyVersion });
        return create(AcknowledgeDeliveryResponseSchema, { delivery: deliveryMessage(received) });
      });
      context.note({ delivery: id });
      return response;
    },
  };
}

async function requireDelivery(
  { sealer, tx }: Registry,
  id: string,
  recipient: string,
  lock: "read" | "lock",
): Promise<DeliveryRow> {
  if (!uuidPattern.test(id)) throw new DomainError("invalid-argument", "the id of a delivery is a UUID");
  const row = await findDelivery(tx, sealer, id, lock);
  if (row?.recipient === recipient) return row;
  throw new DomainError("denied", "there is no such delivery for this identity", {
    hint: "claviger deliveries waiting lists what there is",
  });
}

function alreadyReceived(): DomainError {
  return new DomainError(
    "failed-precondition",
    "its recipient has signed for this delivery, and it is gone",
    {
      hint: "whoever may export the key can deliver it again: claviger deliveries send KEYRING/KEY --to IDENTITY",
    },
  );
}

function pageStart(token: string): string {
  const after = readPageToken(token);
  if (after === "" || uuidPattern.test(after)) return after;
  throw new DomainError("invalid-argument", "this page_token is not one that Claviger gave");
}

function pageOf(rows: readonly DeliveryRow[], limit: number) {
  return {
    deliveries: rows.map(deliveryMessage),
    nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.id),
  };
}

function deliveryMessage(row: DeliveryRow) {
  return create(DeliverySchema, {
    id: row.id,
    recipient: row.recipient,
    name: row.keyName,
    version: row.keyVersion,
    algorithm: row.algorithm,
    sender: row.sender,
    format: row.format,
    createdAt: timestampFromDate(row.createdAt),
    ...(row.receipt === null ? {} : { receipt: fromBinary(SignedRequestSchema, row.receipt) }),
    ...(row.receivedAt === null ? {} : { receivedAt: timestampFromDate(row.receivedAt) }),
  });
}
