import type { AuthenticationStrength, Identity } from "@claviger/identity";
import { pooledRandomBytes } from "@claviger/pooled-random";

export interface CallContext<Unit> {
  /** Who calls, out of its certificate. */
  readonly caller: Identity;
  /** Lower-case hexadecimal. */
  readonly certificateSerial: string;
  /** The caller's certificate in DER. */
  readonly certificate: Uint8Array;
  /** How strongly the caller's connection authenticates; undefined on a listener without certificates. */
  readonly authentication: AuthenticationStrength | undefined;
  /** 32 hexadecimal digits; pass it on in every call made for this one. */
  readonly traceId: string;
  /** Fires when the caller has gone or the deadline has passed. */
  readonly signal: AbortSignal;
  /** The transaction, where the service has a database. */
  readonly unit: Unit;
  /** The identity that this turned out to be about; kept beside the audit tree, since it may name a person. */
  concerns(subject: string): void;
  /** Facts for the audit record. Never a secret. */
  note(details: Readonly<Record<string, string | number | boolean>>): void;
  /** The same for what goes on after the transaction, such as a stream's messages. */
  withoutUnit(): CallContext<undefined>;
}

const traceparentPattern = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace id of a W3C `traceparent`, or a new one. */
export function traceIdFrom(traceparent: string | undefined): string {
  const given = traceparentPattern.exec(traceparent ?? "")?.[1];
  return given !== undefined && !/^0+$/.test(given) ? given : pooledRandomBytes(16).toString("hex");
}
