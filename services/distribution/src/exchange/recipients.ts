import { DomainError } from "@claviger/domain-error";
import type { SignedRequest } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { CallContext } from "@claviger/rpc";
import { readStatement, type StatementFields } from "@claviger/signed-request";
import type { Registry } from "../registry.ts";
import { findRecipient, type RecipientRow } from "../store/recipients.ts";

/**
 * What the caller's own signed request says. Whether the signature is good, the generator sees to; that it is the
 * caller's, the connection says.
 */
export function fieldsOf(
  signed: SignedRequest | undefined,
  does: string,
  { caller }: Pick<CallContext<unknown>, "caller">,
): { signed: SignedRequest; fields: StatementFields } {
  if (signed === undefined) throw new DomainError("invalid-argument", "the request is not signed");
  const { by, fields } = readStatement(signed.statement, does);
  if (by !== caller.uri) throw new DomainError("denied", "the signed request is somebody else's");
  return { signed, fields };
}

/** @throws DomainError `failed-precondition` where there is none that still counts */
export async function requireRecipient(
  { now, sealer, tx }: Registry,
  identity: string,
): Promise<RecipientRow> {
  const row = await findRecipient(tx, sealer, identity);
  if (row !== undefined && row.notAfter.getTime() > now.getTime()) return row;
  const problem =
    row === undefined ? "has registered no recipient key" : "has a recipient key that has expired";
  throw new DomainError("failed-precondition", `${identity} ${problem}`, {
    hint: "its owner registers one: claviger recipients register",
  });
}
