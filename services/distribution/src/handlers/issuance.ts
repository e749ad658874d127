import { isIP } from "node:net";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import type { Identity } from "@claviger/identity";
import {
  type CertificateService,
  type IssueCertificateRequest,
  IssueCertificateRequestSchema,
  IssueCertificateResponseSchema,
  type RequestCertificateRequest,
  RequestCertificateRequestSchema,
  RequestCertificateResponseSchema,
} from "@claviger/proto/distribution/v1/certificate_pb.ts";
import type { CallContext, Handlers } from "@claviger/rpc";
import { parseCertificateSigningRequest } from "@claviger/x509";
import { type Authority, issuingName } from "../authorities.ts";
import type { DistributionContext } from "../context.ts";
import { customNames, customProfile, requireKeyType } from "../custom-profiles.ts";
import { type IssuanceRequest, issueCertificate } from "../issuance.ts";
import { requireNames } from "../name-rules.ts";
import {
  type CertifiedNames,
  checkLifetime,
  isRequestable,
  namesFor,
  type Profile,
  profiles,
  requestable,
} from "../profiles.ts";
import type { Registry } from "../registry.ts";
import { renewalTime } from "../renewal.ts";
import type { CertificateRow } from "../store/certificates.ts";
import { findIdentity, saveIdentity } from "../store/identities.ts";
import { listNameRules } from "../store/name-rules.ts";
import { saveSuccession } from "../store/old-certificates.ts";
import { findProfile } from "../store/profiles.ts";

type IssuanceHandlers = Pick<
  Handlers<typeof CertificateService, Transaction>,
  "issueCertificate" | "requestCertificate" | "renewCertificate"
>;

export function issuanceHandlers(shared: DistributionContext): IssuanceHandlers {
  return {
    async issueCertificate(request, context) {
      const registry = shared.open(context.unit);
      const prepared = await prepare(shared, registry, request);
      if (prepared.names.identity !== undefined) context.concerns(prepared.names.identity.uri);
      const requestHash = hashRequest(IssueCertificateRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, IssueCertificateResponseSchema, async () => {
        const { identity } = prepared.names;
        if (identity !== undefined) await admitIdentity(registry, identity);
        return create(IssueCertificateResponseSchema, await issue(shared, registry, prepared, context));
      });
      context.note({ serial: response.serial, profile: request.profile });
      return response;
    },
    async requestCertificate(request, context) {
      const registry = shared.open(context.unit);
      if (context.caller.kind === "claviger" || request.profile === "workload") {
        throw new DomainError("denied", "names by rule are for workloads and users, and are no identities");
      }
      await requireActive(registry, context.caller);
      const prepared = await prepare(shared, registry, request);
      const rules = await listNameRules(registry.tx, registry.sealer, request.profile);
      requireNames(rules, context.caller, request.profile, certified(prepared.names));
      const requestHash = hashRequest(RequestCertificateRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RequestCertificateResponseSchema, async () =>
        create(RequestCertificateResponseSchema, await issue(shared, registry, prepared, context)),
      );
      context.note({ serial: response.serial, profile: request.profile });
      return response;
    },
    async renewCertificate(request, context) {
      const registry = shared.open(context.unit);
      const parsed = parseCertificateSigningRequest(request.certificateSigningRequest);
      const profile = context.caller.kind === "claviger" ? "service" : "workload";
      if (profile === "workload") await requireActive(registry, context.caller);
      const form = profiles[profile];
      const wanted: IssuanceRequest = {
        profile,
        form,
        ...ownNames(context, shared.serviceHosts),
        subjectPublicKeyInfo: parsed.subjectPublicKeyInfo,
        lifetimeSeconds: checkLifetime(profile, 0, form),
        requestedBy: context.caller.uri,
        freshKey: true,
      };
      const { issuing } = shared.authorities;
      const { chain, row } = await issueCertificate(registry, issuing, shared.publicHttpAddress, wanted);
      const shown = context.certificateSerial;
      await saveSuccession(registry.tx, { serial: shown, successor: row.serial, renewedAt: registry.now });
      context.note({ serial: row.serial, profile });
      return { serial: row.serial, certificateChain: chain, renewAt: renewalTimestamp(row) };
    },
  };
}

interface Prepared {
  profile: string;
  form: Profile;
  authority: Authority;
  names: CertifiedNames;
  subjectPublicKeyInfo: Uint8Array;
  lifetimeSeconds: number;
}

/** Everything that can be wrong with a request, before anything is done. */
async function prepare(
  shared: DistributionContext,
  registry: Registry,
  request: IssueCertificateRequest | RequestCertificateRequest,
): Promise<Prepared> {
  const { profile } = request;
  const parsed = parseCertificateSigningRequest(request.certificateSigningRequest);
  const { subjectPublicKeyInfo } = parsed;
  const seconds = Number(request.lifetimeSeconds);
  if (isRequestable(profile)) {
    const form: Profile = profiles[profile];
    const lifetimeSeconds = checkLifetime(profile, seconds, form);
    const names = namesFor(profile, parsed, shared.trustDomain);
    const authority = shared.authorities.signing(issuingName);
    return { profile, form, authority, names, subjectPublicKeyInfo, lifetimeSeconds };
  }
  const row = await findProfile(registry.tx, registry.sealer, profile);
  if (row === undefined) {
    throw new DomainError("invalid-argument", `"${profile.slice(0, 40)}" is not a profile`, {
      hint: `profiles are ${requestable.join(", ")}, and those of claviger certs profiles list`,
    });
  }
  requireKeyType(row, parsed.keyType);
  const form = customProfile(row);
  const names = customNames(row, parsed);
  const authority = shared.authorities.signing(row.authority);
  const lifetimeSeconds = checkLifetime(profile, seconds, form);
  return { profile, form, authority, names, subjectPublicKeyInfo, lifetimeSeconds };
}

async function issue(
  shared: DistributionContext,
  registry: Registry,
  prepared: Prepared,
  { caller }: CallContext<Transaction>,
) {
  const { authority, names, ...rest } = prepared;
  const wanted = { ...rest, ...names, requestedBy: caller.uri, freshKey: false };
  const { chain, row } = await issueCertificate(registry, authority, shared.publicHttpAddress, wanted);
  return { serial: row.serial, certificateChain: chain, renewAt: renewalTimestamp(row) };
}

/** What the certificate says of its holder: for a client certificate the common name too, which rules do not cover. */
function certified({ subject, subjectAltNames }: CertifiedNames) {
  const { commonName, organization } = subject;
  const named =
    commonName === undefined || subjectAltNames.some((name) => Object.values(name).includes(commonName));
  if (!named || organization !== undefined || subjectAltNames.length === 0) {
    throw new DomainError(
      "denied",
      "by rule a certificate has alternative names, and in its subject one of them at most",
      {
        hint: "leave the subject empty: openssl req … -subj / -addext 'subjectAltName=DNS:web.example'",
      },
    );
  }
  return subjectAltNames;
}

export function renewalTimestamp({ notAfter, notBefore, serial }: CertificateRow) {
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
