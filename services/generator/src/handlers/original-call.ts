import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { CallContext } from "@claviger/rpc";
import type { OriginalCall } from "../keyring-keys.ts";

/** Storage gives a repeated request its first answer, and decides by this caller's own rights. */
export function originalOf<S extends DescMessage>(
  context: CallContext<undefined>,
  schema: S,
  request: MessageShape<S> & { requestId: string },
): OriginalCall {
  const requestHash = createHash("sha256")
    .update(`${schema.typeName}\0`)
    .update(toBinary(schema, request))
    .digest();
  return { caller: context.caller.uri, requestId: request.requestId, requestHash };
}
