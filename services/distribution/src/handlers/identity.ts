import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import { identityFromName } from "@claviger/identity";
import {
  type EnrollmentService,
  IdentitySchema,
  type IdentityService,
  RevokeIdentityRequestSchema,
  RevokeIdentityResponseSchema,
} from "@claviger/proto/distribution/v1/identity_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { parseCertificateSigningRequest } from "@claviger/x509";
import type { DistributionContext } from "../context.ts";
import { admitByWorkloadToken, formatToken, invite, redeem } from "../enrollment.ts";
import { issueCertificate } from "../issuance.ts";
import { checkLifetime, profiles } from "../profiles.ts";
import type { Registry } from "../registry.ts";
import { checkReason, revokeIdentity } from "../revocation.ts";
import { newestCertificate } from "../store/certificates.ts";
import { findIdentity, type IdentityRow, listIdentities } from "../store/identities.ts";
import { isWorkloadToken } from "../workload-tokens.ts";

export function enrollmentHandlers(
  shared: DistributionContext,
): Handlers<typeof EnrollmentService, Transaction> {
  return {
    async enroll(request, context) {
      const registry = shared.open(context.unit);
      // Parsed first: a request that cannot be served must not use the token up.
      const parsed = parseCertificateSigningRequest(request.certificateSigningRequest);
      const byIssuer = isWorkloadToken(request.token);
      const identity = byIssuer
        ? await admitByWorkloadToken(registry, request.token)
        : await redeem(registry, request.token);
      context.concerns(identity.uri);
      const { chain, row } = await issueCertificate(
        registry,
        shared.authorities.issuing,
        shared.publicHttpAddress,
        {
          profile: "workload",
          form: profiles.workload,
          subject: {},
          subjectAltNames: [{ uri: identity.uri }],
          identity,
          subjectPublicKeyInfo: parsed.subjectPublicKeyInfo,
          lifetimeSeconds: checkLifetime("workload", 0, profiles.workload),
          requestedBy: identity.uri,
          freshKey: true,
        },
      );
      context.note({ serial: row.serial, method: byIssuer ? "workload token" : "one-time token" });
      return { identity: identity.uri, certificateChain: chain, trustBundle: shared.authorities.trustBundle };
    },
  };
}

export function identityHandlers(shared: DistributionContext): Handlers<typeof IdentityService, Transaction> {
  return {
    async createEnrollmentToken(request, context) {
      const invited = await invite(shared.open(context.unit), shared.storage, shared.trustDomain, {
        ...request,
        createdBy: context.caller.uri,
      });
      context.concerns(invited.identity.uri);
      return {
        identity: invited.identity.uri,
        token: formatToken(shared.token(), invited.secret),
        expiresAt: timestampFromDate(invited.expiresAt),
      };
    },
    async listIdentities(request, { unit }) {
      const registry = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listIdentities(unit, registry.sealer, readPageToken(request.pageToken), limit);
      const identities = [];
      for (const row of rows) identities.push(await identityMessage(registry, row));
      return {
        identities,
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.identity),
      };
    },
    async getIdentity(request, { unit }) {
      const registry = shared.open(unit);
      const { uri } = identityFromName(shared.trustDomain, request.name);
      const row = await findIdentity(unit, registry.sealer, uri);
      if (row === undefined) throw new DomainError("not-found", `there is no identity ${uri}`);
      return { identity: await identityMessage(registry, row) };
    },
    async revokeIdentity(request, context) {
      const registry = shared.open(context.unit);
      const { uri } = identityFromName(shared.trustDomain, request.name);
      const reason = checkReason(request.reason);
      const requestHash = hashRequest(RevokeIdentityRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RevokeIdentityResponseSchema, async () => {
        const { certificates, row } = await revokeIdentity(registry, shared.storage, uri, reason);
        return create(RevokeIdentityResponseSchema, {
          identity: await identityMessage(registry, row),
          certificatesRevoked: certificates,
        });
      });
      context.note({ reason, certificates: response.certificatesRevoked });
      return response;
    },
  };
}

async function identityMessage(registry: Registry, row: IdentityRow) {
  const certificate = await newestCertificate(registry.tx, registry.sealer, row.identity);
  return create(IdentitySchema, {
    identity: row.identity,
    state: row.state,
    createdAt: timestampFromDate(row.createdAt),
    ...(certificate === undefined
      ? {}
      : {
          certificateSerial: certificate.serial,
          certificateNotAfter: timestampFromDate(certificate.notAfter),
        }),
  });
}
