import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type {
  CertificateService,
  SynchronizeTrustRequest,
} from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { type CallContext, type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { attestationChain } from "../attestation.ts";
import { certificateMessage, requireCertificate } from "../certificate-message.ts";
import type { DistributionContext } from "../context.ts";
import type { Registry } from "../registry.ts";
import { renewalTurn } from "../renewal.ts";
import { findCertificate, listCertificates } from "../store/certificates.ts";
import { saveFollower } from "../store/followers.ts";
import { adviseTrust, bundleDigest } from "../trust.ts";
import { issuanceHandlers, renewalTimestamp } from "./issuance.ts";
import { revocationHandlers } from "./revocation.ts";

type CertificateHandlers = Handlers<typeof CertificateService, Transaction>;

export function certificateHandlers(shared: DistributionContext): CertificateHandlers {
  return {
    ...issuanceHandlers(shared),
    ...followers(shared),
    ...readers(shared),
    ...revocationHandlers(shared),
  };
}

function followers(shared: DistributionContext): Pick<CertificateHandlers, "synchronizeTrust"> {
  return {
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
