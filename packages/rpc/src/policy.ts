import type { DescService, MessageShape } from "@bufbuild/protobuf";

/** Any identity at all, or only these of Claviger's own services, by their names. */
export type Callers = "anyone" | readonly string[];

/**
 * Who may call an RPC, and what the access decision is asked. Every RPC has a row, or the program
 * does not compile.
 */
export interface PolicyRow<Request> {
  readonly callers: Callers;
  /**
   * The permission that storage decides about. A row without one is open to its callers, and storage
   * is asked only whether the caller has been revoked.
   */
  readonly permission?: string;
  /** What the request acts on: `keyring/key`, `keyring`, or `*` where absent. */
  readonly resource?: (request: Request) => string;
  /** The other identity that the request acts on: kept beside the audit tree, since it may name a person. */
  readonly subject?: (request: Request) => string;
  /** It renews the caller's own certificate: who is below the floor may, to come above it. */
  readonly renewal?: boolean;
  /** Why an RPC is not audited. There are very few. */
  readonly auditExempt?: (request: Request) => string | undefined;
}

/** One row for each method of a service. */
export type Policy<S extends DescService> = {
  readonly [M in keyof S["method"]]: PolicyRow<MessageShape<S["method"][M]["input"]>>;
};
