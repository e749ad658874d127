import { createHash, randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { checkRequestId } from "@claviger/idempotency";
import { type Identity, identityFromName, parseIdentity } from "@claviger/identity";
import { publish, type Registry } from "./registry.ts";
import type { AccessClient } from "./revocation.ts";
import { findIdentity, insertToken, lockToken, markTokenUsed, saveIdentity } from "./store/identities.ts";
import { findTokenIssuer, listTokenRules } from "./store/token-issuers.ts";
import { claimedIssuer, identityByRules, verifyWorkloadToken } from "./workload-tokens.ts";

const lifetimeSecondsDefault = 3600;
const lifetimeSecondsMin = 60;
const lifetimeSecondsMax = 7 * 86_400;
const tokenPrefix = "claviger1.";
const tokenCharactersMax = 2048;

/** What a token tells its holder besides the secret: where to go, and whom to trust there. */
export interface TokenContext {
  trustDomain: string;
  enrollmentAddress: string;
  httpAddress: string;
  /** SHA-256 of the root certificate, hexadecimal. */
  rootSha256: string;
}

export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret, "utf8").digest();
}

/** `claviger1.` and base64url of JSON (docs/formats.md). */
export function formatToken(context: TokenContext, secret: string): string {
  const body = {
    v: 1,
    d: context.trustDomain,
    e: context.enrollmentAddress,
    b: context.httpAddress,
    r: context.rootSha256,
    s: secret,
  };
  return tokenPrefix + Buffer.from(JSON.stringify(body)).toString("base64url");
}

/** A token's secret; the first administrator, who enrols on the host, sends a bare one. */
export function secretOf(token: string): string {
  const unreadable = new DomainError("unauthenticated", "this is not an enrolment token", {
    hint: "an administrator makes one: claviger identities enroll NAME",
  });
  if (token === "" || token.length > tokenCharactersMax) throw unreadable;
  if (!token.startsWith(tokenPrefix)) return token;
  try {
    const { s } = JSON.parse(Buffer.from(token.slice(tokenPrefix.length), "base64url").toString("utf8")) as {
      s?: unknown;
    };
    if (typeof s === "string" && s !== "") return s;
  } catch {
    // Said below.
  }
  throw unreadable;
}

export interface Invitation {
  name: string;
  lifetimeSeconds: number;
  requestId: string;
  createdBy: string;
}

/** Invites an identity: a new one, one that lost its certificate, or one that was revoked. */
export async function invite(
  registry: Registry,
  storage: AccessClient,
  trustDomain: string,
  invitation: Invitation,
): Promise<{ identity: Identity; secret: string; expiresAt: Date }> {
  checkRequestId(invitation.requestId);
  const identity = identityFromName(trustDomain, invitation.name);
  if (identity.kind === "claviger" || identity.trustDomain !== trustDomain) {
    throw new DomainError("denied", "identities of Claviger's own services come from bootstrap alone", {
      hint: "enrol a workload or a user: claviger identities enroll NAME, or user/NAME",
    });
  }
  const seconds = invitation.lifetimeSeconds || lifetimeSecondsDefault;
  if (seconds < lifetimeSecondsMin || seconds > lifetimeSecondsMax) {
    throw new DomainError("invalid-argument", "an enrolment token lives a minute to seven days");
  }
  const found = await findIdentity(registry.tx, registry.sealer, identity.uri, "lock");
  if (found?.state !== "active") {
    await saveIdentity(registry.tx, registry.sealer, {
      identity: identity.uri,
      state: "invited",
      createdAt: found?.createdAt ?? registry.now,
    });
  }
  const secret = randomBytes(32).toString("base64url");
  const expiresAt = new Date(registry.now.getTime() + seconds * 1000);
  await insertToken(registry.tx, registry.sealer, {
    secretHash: hashSecret(secret),
    identity: identity.uri,
    createdBy: invitation.createdBy,
    requestId: invitation.requestId,
    expiresAt,
    usedAt: null,
  });
  // Last, since it cannot be taken back: its certificates stay revoked one by one; the identity itself may come back.
  if (found?.state === "revoked") await storage.recordRevocation({ identity: identity.uri, revoked: false });
  return { identity, secret, expiresAt };
}

/** Uses a token up. @throws DomainError `unauthenticated`, saying the same whatever is wrong with it */
export async function redeem(registry: Registry, token: string): Promise<Identity> {
  const row = await lockToken(registry.tx, registry.sealer, hashSecret(secretOf(token)));
  if (row === undefined || row.usedAt !== null || row.expiresAt.getTime() <= registry.now.getTime()) {
    throw new DomainError("unauthenticated", "this enrolment token is unknown, used or expired", {
      hint: "an administrator makes a new one: claviger identities enroll NAME",
    });
  }
  const found = await findIdentity(registry.tx, registry.sealer, row.identity, "lock");
  if (found === undefined || found.state === "revoked") {
    throw new DomainError("denied", "the identity of this token has been revoked");
  }
  await markTokenUsed(registry.tx, registry.sealer, row, registry.now);
  await saveIdentity(registry.tx, registry.sealer, { ...found, state: "active" });
  await publish(registry, "identity.enrolled", "identities");
  return parseIdentity(row.identity);
}

/** Takes an identity in by a token of an issuer that administrators trust. */
export async function admitByWorkloadToken(registry: Registry, token: string): Promise<Identity> {
  const { now, sealer, tx } = registry;
  const issuer = await findTokenIssuer(tx, sealer, { issuer: claimedIssuer(token) });
  const payload = issuer && (await verifyWorkloadToken(token, issuer, now));
  if (issuer === undefined || payload === undefined) {
    throw new DomainError("unauthenticated", "this workload token is not accepted here", {
      hint: "its issuer, audience, age and signature have to be those of `claviger identities issuers list`",
    });
  }
  const uri = identityByRules(payload, await listTokenRules(tx, sealer, issuer.name));
  const found = await findIdentity(tx, sealer, uri, "lock");
  if (found?.state === "revoked") {
    throw new DomainError("denied", "the identity of this token has been revoked", {
      hint: "an administrator can invite it again: claviger identities enroll NAME",
    });
  }
  await saveIdentity(tx, sealer, { identity: uri, state: "active", createdAt: found?.createdAt ?? now });
  await publish(registry, "identity.enrolled", "identities");
  return parseIdentity(uri);
}

/**
 * The first administrator's invitation: bootstrap, on the host, gave us the hash, its holder has the
 * secret. A hash that we know already was dealt with; a new one mends an expired administrator.
 */
export async function inviteFirstAdministrator(
  registry: Registry,
  trustDomain: string,
  hash: string,
): Promise<void> {
  const secretHash = Buffer.from(hash, "hex");
  if ((await lockToken(registry.tx, registry.sealer, secretHash)) !== undefined) return;
  const identity = identityFromName(trustDomain, "user/administrator").uri;
  const found = await findIdentity(registry.tx, registry.sealer, identity, "lock");
  if (found === undefined) {
    await saveIdentity(registry.tx, registry.sealer, { identity, state: "invited", createdAt: registry.now });
  }
  await insertToken(registry.tx, registry.sealer, {
    secretHash,
    identity,
    createdBy: identity,
    requestId: "",
    expiresAt: new Date(registry.now.getTime() + lifetimeSecondsMax * 1000),
    usedAt: null,
  });
}
