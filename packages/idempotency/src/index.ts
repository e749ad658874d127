import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { ColumnCipher } from "@claviger/column-cipher";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";

export interface IdempotentRequest {
  caller: string;
  /** A UUID; empty where the caller asks for no such promise. */
  requestId: string;
  requestHash: Uint8Array;
}

/** The transaction of the effect, and the sealer of the service whose answers these are. */
export interface IdempotencyScope {
  tx: Transaction;
  sealer: RowSealer;
  /** Where it is there, who asked and what was answered are kept encrypted. */
  columns?: ColumnCipher;
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** SHA-256 over the method and the request as it was sent. */
export function hashRequest<S extends DescMessage>(schema: S, request: MessageShape<S>): Buffer {
  return createHash("sha256").update(`${schema.typeName}\0`).update(toBinary(schema, request)).digest();
}

/**
 * Runs `work` once for a request id, bound to the caller and the request's hash. A repeat gets the
 * first one's answer; one that arrives while the first is under way waits for it on the unique index.
 */
export async function once<S extends DescMessage>(
  scope: IdempotencyScope,
  request: IdempotentRequest,
  responseSchema: S,
  work: () => Promise<MessageShape<S>>,
): Promise<{ response: MessageShape<S>; repeated: boolean }> {
  if (request.requestId === "") return { response: await work(), repeated: false };
  checkRequestId(request.requestId);
  const key = keyOf(scope, request);
  const inserted = await scope.tx.query(
    "INSERT INTO requests (caller, request_id, request_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
    [...key, Buffer.from(request.requestHash)],
  );
  if (inserted.length === 0)
    return { response: await earlierAnswer(scope, request, responseSchema), repeated: true };
  const response = await work();
  const binary = toBinary(responseSchema, response);
  const answer = scope.columns?.concealBytes(placeOf(request), binary) ?? Buffer.from(binary);
  await scope.tx.query("UPDATE requests SET response = $3, seal = $4 WHERE caller = $1 AND request_id = $2", [
    ...key,
    answer,
    scope.sealer.seal("requests", sealedRow(request, answer)),
  ]);
  return { response, repeated: false };
}

async function earlierAnswer<S extends DescMessage>(
  scope: IdempotencyScope,
  request: IdempotentRequest,
  responseSchema: S,
): Promise<MessageShape<S>> {
  const { columns, sealer, tx } = scope;
  const [row] = await tx.query<{ hash: Buffer; response: Buffer | null; seal: Buffer | null }>(
    "SELECT request_hash AS hash, response, seal FROM requests WHERE caller = $1 AND request_id = $2",
    keyOf(scope, request),
  );
  if (row?.response == null || row.seal === null || !row.hash.equals(request.requestHash)) {
    throw new DomainError("invalid-argument", "this request_id was used for another request", {
      hint: "use a new UUID for each request, and the same one only to repeat it unchanged",
    });
  }
  sealer.check("requests", `request ${request.requestId}`, sealedRow(request, row.response), row.seal);
  return fromBinary(responseSchema, columns?.revealBytes(placeOf(request), row.response) ?? row.response);
}

/** Of the primary key: the caller, or what stands for it. */
function keyOf({ columns }: IdempotencyScope, { caller, requestId }: IdempotentRequest): [string, string] {
  return [columns?.digest("requests.caller", caller).toString("base64url") ?? caller, requestId];
}

function placeOf({ caller, requestId }: IdempotentRequest): { column: string; row: string } {
  return { column: "requests.response", row: `${requestId.toLowerCase()} ${caller}` };
}

function sealedRow(request: IdempotentRequest, response: Buffer) {
  const { caller, requestHash, requestId } = request;
  return { caller, requestId: requestId.toLowerCase(), requestHash: Buffer.from(requestHash), response };
}

/** @throws DomainError `invalid-argument` where it is neither empty nor a UUID. */
export function checkRequestId(requestId: string): void {
  if (requestId !== "" && !uuidPattern.test(requestId)) {
    throw new DomainError("invalid-argument", "request_id is not a UUID");
  }
}

export async function forgetOldRequests(tx: Transaction, before: Date): Promise<void> {
  await tx.query("DELETE FROM requests WHERE created_at < $1", [before]);
}
