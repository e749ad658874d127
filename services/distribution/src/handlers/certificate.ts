import { isIP } from "node:net";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import type { Identity } from "@claviger/identity";
import {
  CertificateSchema,
  type CertificateService,
  IssueCertificateRequestSchema,
  IssueCertificateResponseSchema,
  RevokeCertificateRequestSchema,
  RevokeCertificateResponseSchema,
} from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { type CallContext, type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { encodePem, parseCertificateSigningRequest } from "@claviger/x509";
import { attestationChain } from "../attestation.ts";
import type { DistributionContext } from "../context.ts";
import { type IssuanceRequest, issueCertificate } from "../issuance.ts";
import { checkLifetime, checkProfile, namesFor } from "../profiles.ts";
import type { Registry } from "../registry.ts";
import { checkReason, revokeCertificate } from "../revocation.ts";
import { type CertificateRow, findCertificate, listCertificates } from "../store/certificates.ts";
import { findIdentity, saveIdentity } from "../store/identities.ts";
import { adviseTrust } from "../trust.ts";

type CertificateHandlers = Handlers<typeof CertificateService, Transaction>;

export function certificateHandlers(shared: DistributionContext): CertificateHandlers {
  return { ...issuers(shared), ...readers(shared), ...enders(shared) };
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
        return create(IssueCertificateResponseSchema, { serial: row.serial, certificateChain: chain });
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
      return { serial: row.serial, certificateChain: chain };
    },
    async synchronizeTrust(request, context) {
      const { trustBundle } = shared.authorities;
      const report = {
        ...request,
        service: context.caller.name,
        certificateSerial: context.certificateSerial,
      };
      const advice = await adviseTrust(shared.open(context.unit), trustBundle, report, shared.startedAt);
      return { ...advice, trustBundle };
    },
  };
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
        certificate: certificateMessage(await require(registry, request.serial, "read"), registry.now),
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

function enders(shared: DistributionContext): Pick<CertificateHandlers, "revokeCertificate"> {
  return {
    async revokeCertificate(request, context) {
      const registry = shared.open(context.unit);
      const reason = checkReason(request.reason);
      const requestHash = hashRequest(RevokeCertificateRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RevokeCertificateResponseSchema, async () => {
        const row = await require(registry, request.serial, "lock");
        const revoked = await revokeCertificate(registry, shared.storage, row, reason);
        return create(RevokeCertificateResponseSchema, {
          certificate: certificateMessage(revoked, registry.now),
        });
      });
      context.note({ serial: response.certificate?.serial ?? "", reason });
      return response;
    },
  };
}

async function require(registry: Registry, serial: string, lock: "read" | "lock"): Promise<CertificateRow> {
  const wanted = serial.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{1,40}$/.test(wanted)) {
    throw new DomainError("invalid-argument", "a serial is hexadecimal, of at most 20 bytes");
  }
  const row = await findCertificate(registry.tx, registry.sealer, wanted, lock);
  if (row === undefined) throw new DomainError("not-found", `there is no certificate ${wanted}`);
  return row;
}

function certificateMessage(row: CertificateRow, now: Date) {
  const expired = row.notAfter.getTime() <= now.getTime();
  return create(CertificateSchema, {
    serial: row.serial,
    subject: row.subject,
    names: row.names,
    profile: row.profile,
    requestedBy: row.requestedBy,
    notBefore: timestampFromDate(row.notBefore),
    notAfter: timestampFromDate(row.notAfter),
    state: row.revokedAt !== null ? "revoked" : expired ? "expired" : "valid",
    ...(row.revokedAt === null ? {} : { revokedAt: timestampFromDate(row.revokedAt) }),
    revocationReason: row.revocationReason ?? "",
    certificate: encodePem("CERTIFICATE", row.certificate),
  });
}
