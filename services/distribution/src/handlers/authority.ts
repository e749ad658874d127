import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AuthorityRotationSchema,
  AuthoritySchema,
  type AuthorityService,
  DistrustAuthorityRequestSchema,
  DistrustAuthorityResponseSchema,
  RevokeSupersededCertificatesRequestSchema,
  RevokeSupersededCertificatesResponseSchema,
  StartAuthorityRotationRequestSchema,
  StartAuthorityRotationResponseSchema,
} from "@claviger/proto/distribution/v1/authority_pb.ts";
import type { CallContext, Handlers } from "@claviger/rpc";
import { describeName } from "@claviger/x509";
import type { Authority } from "../authorities.ts";
import type { CaRotation } from "../ca-rotation.ts";
import { stageOf } from "../ca-rotation.ts";
import type { DistributionContext } from "../context.ts";
import { distrustAuthority } from "../distrust.ts";
import type { Registry } from "../registry.ts";
import { endCertificate } from "../revocation.ts";
import { newestRotation, saveRotation } from "../store/authority-rotations.ts";
import { listWithoutBundle } from "../store/followers.ts";
import { countLiveOf, countOld, lockSuperseded } from "../store/old-certificates.ts";
import { bundleDigest } from "../trust.ts";
import type { TrustSignal } from "../trust-signal.ts";

type AuthorityHandlers = Handlers<typeof AuthorityService, Transaction>;

export interface AuthorityOptions extends DistributionContext {
  rotation: CaRotation;
  signal: TrustSignal;
  /** Has the rotation look at once. */
  poke: () => void;
}

const listedMax = 100;
const revokedAtOnce = 500;
/** Calls that began with the old certificate have ended by then. */
const successorMilliseconds = 10_000;

export function authorityHandlers(options: AuthorityOptions): AuthorityHandlers {
  return { ...readers(options), ...rotators(options), ...distrusters(options) };
}

function readers(
  options: AuthorityOptions,
): Pick<AuthorityHandlers, "listAuthorities" | "getAuthorityRotation" | "watchTrustBundle"> {
  const { authorities, signal } = options;
  return {
    async listAuthorities(_, { unit }) {
      const registry = options.open(unit);
      const messages = [];
      for (const authority of authorities.current.all)
        messages.push(await authorityMessage(registry, authority));
      return { authorities: messages };
    },
    async getAuthorityRotation(_, { unit }) {
      const rotation = await rotationMessage(options, options.open(unit));
      return rotation === undefined ? {} : { rotation };
    },
    watchTrustBundle: (_, context) => signal.watch(context.signal),
  };
}

function rotators(
  options: AuthorityOptions,
): Pick<AuthorityHandlers, "startAuthorityRotation" | "revokeSupersededCertificates"> {
  return {
    async startAuthorityRotation(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(StartAuthorityRotationRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, StartAuthorityRotationResponseSchema, async () => {
        await begin(options, registry, context, request.generation);
        const rotation = await rotationMessage(options, registry);
        return create(StartAuthorityRotationResponseSchema, rotation === undefined ? {} : { rotation });
      });
      context.note({ generation: response.rotation?.generation ?? 0 });
      context.unit.afterCommit(options.poke);
      return response;
    },
    async revokeSupersededCertificates(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(RevokeSupersededCertificatesRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(
        registry,
        asked,
        RevokeSupersededCertificatesResponseSchema,
        async () => {
          const certificatesRevoked = await revokeSuperseded(options, registry);
          const rotation = await rotationMessage(options, registry);
          return create(RevokeSupersededCertificatesResponseSchema, {
            certificatesRevoked,
            ...(rotation === undefined ? {} : { rotation }),
          });
        },
      );
      context.note({ certificates: response.certificatesRevoked });
      context.unit.afterCommit(options.poke);
      return response;
    },
  };
}

/** Where this one is under way, that is well. */
async function begin(
  { authorities }: AuthorityOptions,
  registry: Registry,
  { caller }: CallContext<Transaction>,
  generation: number,
): Promise<void> {
  await registry.tx.query("SELECT pg_advisory_xact_lock(hashtext('CA rotation'))");
  const newest = await newestRotation(registry.tx, registry.sealer);
  if (newest !== undefined && newest.endedAt === null) {
    if (newest.generation === generation) return;
    throw new DomainError(
      "failed-precondition",
      `the rotation to generation ${newest.generation} is under way`,
      {
        hint: "claviger certs rotate-ca shows what it waits for",
      },
    );
  }
  const next = Math.max(...authorities.current.all.map(({ row }) => row.generation)) + 1;
  if (generation !== next) {
    throw new DomainError("invalid-argument", `the generation that comes next is ${next}`);
  }
  await saveRotation(registry.tx, registry.sealer, {
    generation,
    requestedBy: caller.uri,
    requestedAt: registry.now,
    endedAt: null,
  });
}

async function revokeSuperseded(options: AuthorityOptions, registry: Registry): Promise<number> {
  const { now, sealer, tx } = registry;
  const retiring = options.authorities.current.all.filter(({ state }) => state === "retiring");
  if (retiring.length === 0) {
    throw new DomainError("failed-precondition", "no CA is retiring", {
      hint: "claviger certs rotate-ca begins a rotation; this ends one sooner",
    });
  }
  const rows = await lockSuperseded(tx, sealer, {
    generations: retiring.map(({ row }) => row.generation),
    now,
    successorSince: new Date(now.getTime() - successorMilliseconds),
    limit: revokedAtOnce,
  });
  for (const row of rows) await endCertificate(registry, options.storage, row, "superseded");
  return rows.length;
}

function distrusters(options: AuthorityOptions): Pick<AuthorityHandlers, "distrustAuthority"> {
  return {
    async distrustAuthority(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(DistrustAuthorityRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, DistrustAuthorityResponseSchema, async () => {
        const authority = await distrustAuthority(options, registry, request);
        return create(DistrustAuthorityResponseSchema, {
          authority: await authorityMessage(registry, { ...authority, state: "distrusted" }),
        });
      });
      context.note({ name: request.name, generation: request.generation });
      context.unit.afterCommit(options.poke);
      return response;
    },
  };
}

async function authorityMessage(registry: Registry, authority: Authority) {
  const { generation, name } = authority.row;
  const certificates = await countLiveOf(registry.tx, { authority: name, generation, now: registry.now });
  return create(AuthoritySchema, {
    name,
    generation,
    state: authority.state,
    algorithm: authority.signer.algorithm,
    subject: describeName(authority.subject),
    notAfter: timestampFromDate(authority.notAfter),
    certificates,
    certificate: authority.pem,
  });
}

async function rotationMessage(options: AuthorityOptions, registry: Registry) {
  const { now, sealer, tx } = registry;
  const row = await newestRotation(tx, sealer);
  if (row === undefined) return undefined;
  const { all } = options.authorities.current;
  const generations = all
    .filter(({ state }) => state === "retiring")
    .map((authority) => authority.row.generation);
  const old = await countOld(tx, { generations, now });
  const bundleSha256 = bundleDigest(options.authorities.trustBundle);
  const without = await listWithoutBundle(tx, { bundleSha256, now, limit: listedMax });
  return create(AuthorityRotationSchema, {
    generation: row.generation,
    stage: stageOf(all, row),
    requestedAt: timestampFromDate(row.requestedAt),
    ...(row.endedAt === null ? {} : { endedAt: timestampFromDate(row.endedAt) }),
    waitingFor: row.endedAt === null ? await options.rotation.waitingFor(registry, row) : [],
    withoutBundle: without.identities,
    withoutBundleCount: without.count,
    oldCertificates: old.count,
    oldCertificatesWithoutSuccessor: old.withoutSuccessor,
    ...(old.lastEnds === undefined ? {} : { lastOldCertificateEnds: timestampFromDate(old.lastEnds) }),
  });
}
