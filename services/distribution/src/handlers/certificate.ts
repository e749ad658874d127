import { isIP } from "node:net";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import type { Identity } from "@claviger/identity";
import {
  type CertificateService,
  IssueCertificateRequestSchema,
  IssueCertificateResponseSchema,
  type SynchronizeTrustRequest,
} from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { type CallContext, type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { parseCertificateSigningRequest } from "@claviger/x509";
import { attestationChain } from "../attestation.ts";
import { certificateMessage, requireCertificate } from "../certificate-message.ts";
import type { DistributionContext } from "../context.ts";
import { type IssuanceRequest, issueCertificate } from "../issuance.ts";
import { checkLifetime, checkProfile, namesFor } from "../profiles.ts";
import type { Registry } from "../registry.ts";
import { renewalTime, renewalTurn } from "../renewal.ts";
import { type CertificateRow, findCertificate, listCertificates } from "../store/certificates.ts";
import { saveFollower } from "../store/followers.ts";
import { findIdentity, saveIdentity } from "../store/identities.ts";
import { adviseTrust, bundleDigest } from "../trust.ts";
import { revocationHandlers } from "./revocation.ts";

type CertificateHandlers = Handlers<typeof CertificateService, Transaction>;

export function certificateHandlers(shared: DistributionContext): CertificateHandlers {
  return { ...issuers(shared), ...readers(shared), ...revocationHandlers(shared) };
}

function issuers(
  shared: DistributionContext,
): Pick<CertificateHandlers, "issueCertificate" | "renewCertificate" | "synchronizeTrust"> {
  const issue = (registry: Registry, request: IssuanceRequest) =>
    issueCertificate(registry, shared.authorities.issuing, shared.publicHttpAddress, request);
  return {
    async issueCertificate(request, context) {
      const registry = shared.open(context.unit);
      const profile = checkProfile(request.profile);
      const lifetimeSeconds = checkLifetime(profile, Number(request.lifetimeSeconds));
      const parsed = parseCertificateSigningRequest(request.certificateSigningRequest);
      const names = namesFor(profile, parsed, shared.trustDomain);
      if (names.identity !== undefined) context.concerns(names.identity.uri);
      const requestHash = hashRequest(IssueCertificateRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, IssueCertificateResponseSchema, async () => {
        if (names.identity !== undefined) await admitIdentity(registry, names.identity);
        const { chain, row } = await issue(registry, {
          ...names,
          profile,
          lifetimeSeconds,
          subjectPublicKeyInfo: parsed.subjectPublicKeyInfo,
          requestedBy: context.caller.uri,
          freshKey: false,
        });
        const renewAt = renewalTimestamp(row);
        return create(IssueCertificateResponseSchema, {
          serial: row.serial,
          certificateChain: chain,
          renewAt,
        });
      });
      context.note({ serial: response.serial, profile });
      return response;
    },
    async renewCertificate(request, context) {
      const registry = shared.open(context.unit);
      const parsed = parseCertificateSigningRequest(request.certificateSigningRequest);
      const profile = context.caller.kind === "claviger" ? "service" : "workload";
      if (profile === "workload") await requireActive(registry, context.caller);
      const { chain, row } = await issue(registry, {
        profile,
        ...ownNames(context, shared.serviceHosts),
        subjectPublicKeyInfo: parsed.subjectPublicKeyInfo,
        lifetimeSeconds: checkLifetime(profile, 0),
        requestedBy: context.caller.uri,
        freshKey: true,
      });
      context.note({ serial: row.serial, profile });
      return { serial: row.serial, certificateChain: chain, renewAt: renewalTimestamp(row) };
    },
    async synchronizeTrust(request, context) {
      const registry = shared.open(context.unit);
      return context.caller.kind === "claviger"
        ? adviseService(shared, registry, request, context)
        : adviseFollower(shared, registry, request, context);
    },
  };
}

async function adviseService(
  { authorities, startedAt }: DistributionContext,
  registry: Registry,
  request: SynchronizeTrustRequest,
  { caller, certificateSerial }: CallContext<Transaction>,
) {
  const { issuing, trustBundle } = authorities.current;
  const advice = await adviseTrust(
    registry,
    { ...request, service: caller.name, certificateSerial },
    { digest: bundleDigest(trustBundle), generation: issuing.row.generation, since: startedAt },
  );
  return { ...advice, trustBundle };
}

/** Users and workloads: they are told to renew once another generation signs, spread over time. */
async function adviseFollower(
  { authorities, oldCertificates }: DistributionContext,
  registry: Registry,
  { loadedBundleSha256 }: SynchronizeTrustRequest,
  { caller, certificateSerial }: CallContext<Transaction>,
) {
  const { trustBundle } = authorities.current;
  if (!/^([0-9a-f]{64})?$/.test(loadedBundleSha256)) {
    throw new DomainError("invalid-argument", "loaded_bundle_sha256 is a SHA-256, hexadecimal");
  }
  const seenAt = registry.now;
  await saveFollower(registry.tx, { identity: caller.uri, bundleSha256: loadedBundleSha256, seenAt });
  const row = await findCertificate(registry.tx, registry.sealer, certificateSerial);
  const issuer = row && authorities.find(row.authority, row.authorityGeneration);
  const isOld = issuer?.state === "retiring" || issuer?.state === "distrusted";
  const turn = { since: issuer?.stateChangedAt, now: registry.now, certificates: oldCertificates() };
  const renewNow = isOld && renewalTurn(certificateSerial, turn);
  const settled = !isOld && loadedBundleSha256 === bundleDigest(trustBundle);
  const renewAt = row && { renewAt: renewalTimestamp(row) };
  return { trustBundle, renewNow, dropBootstrap: false, settled, waitingFor: [], ...renewAt };
}

function renewalTimestamp({ notAfter, notBefore, serial }: CertificateRow) {
  return timestampFromDate(renewalTime(serial, notBefore, notAfter));
}

/** A renewal is for the caller's own identity, whatever its request asks for. */
function ownNames({ caller }: CallContext<Transaction>, serviceHosts: readonly string[]) {
  const hosts = serviceHosts.map((host) => (isIP(host) ? { ip: host } : { dns: host }));
  return {
    subject: caller.kind === "claviger" ? { commonName: `claviger ${caller.name}` } : {},
    subjectAltNames: caller.kind === "claviger" ? [{ uri: caller.uri }, ...hosts] : [{ uri: caller.uri }],
    identity: caller,
  };
}

async function requireActive(registry: Registry, identity: Identity): Promise<void> {
  const row = await findIdentity(registry.tx, registry.sealer, identity.uri);
  if (row?.state === "active") return;
  throw new DomainError(
    "denied",
    `${identity.uri} is ${row?.state ?? "not known"} here, and gets no certificate`,
    {
      hint: "an administrator can invite it: claviger identities enroll NAME",
    },
  );
}

/** Whoever may issue workload certificates admits the identity with the first one. */
async function admitIdentity(registry: Registry, identity: Identity): Promise<void> {
  const found = await findIdentity(registry.tx, registry.sealer, identity.uri, "lock");
  if (found?.state === "revoked") throw new DomainError("denied", `${identity.uri} was revoked`);
  if (found?.state === "active") return;
  const createdAt = found?.createdAt ?? registry.now;
  await saveIdentity(registry.tx, registry.sealer, { identity: identity.uri, state: "active", createdAt });
}

function readers(
  shared: DistributionContext,
): Pick<
  CertificateHandlers,
  | "getAttestationCertificate"
  | "listCertificates"
  | "getCertificate"
  | "getTrustBundle"
  | "getCertificateRevocationList"
> {
  return {
    async listCertificates(request, { unit }) {
      const registry = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listCertificates(unit, registry.sealer, readPageToken(request.pageToken), limit);
      return {
        certificates: rows.map((row) => certificateMessage(row, registry.now)),
        nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.serial),
      };
    },
    async getCertificate(request, { unit }) {
      const registry = shared.open(unit);
      return {
        certificate: certificateMessage(
          await requireCertificate(registry, request.serial, "read"),
          registry.now,
        ),
      };
    },
    async getAttestationCertificate({ version }, { caller, note, unit }) {
      const certificateChain = await attestationChain(
        shared.open(unit),
        { ...shared, issuing: shared.authorities.issuing, requestedBy: caller.uri },
        version,
      );
      note({ version });
      return { certificateChain };
    },
    async getTrustBundle() {
      return { trustBundle: shared.authorities.trustBundle };
    },
    async getCertificateRevocationList() {
      return { certificateRevocationLists: await shared.lists.pem() };
    },
  };
}
