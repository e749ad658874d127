import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  type CertificateService,
  RevokeCertificateRequestSchema,
  RevokeCertificateResponseSchema,
  RevokePublicKeyRequestSchema,
  RevokePublicKeyResponseSchema,
} from "@claviger/proto/distribution/v1/certificate_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { publicKeyOf } from "@claviger/x509";
import { certificateMessage, requireCertificate } from "../certificate-message.ts";
import type { DistributionContext } from "../context.ts";
import { checkCertificateReason, checkReason, revokeCertificate, revokeKey } from "../revocation.ts";

const publicKeyBytesMax = 64 * 1024;

export function revocationHandlers(
  shared: DistributionContext,
): Pick<Handlers<typeof CertificateService, Transaction>, "revokeCertificate" | "revokePublicKey"> {
  return {
    async revokeCertificate(request, context) {
      const registry = shared.open(context.unit);
      const reason = checkCertificateReason(request.reason);
      const requestHash = hashRequest(RevokeCertificateRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RevokeCertificateResponseSchema, async () => {
        const row = await requireCertificate(registry, request.serial, "lock");
        if (row.identity !== null) context.concerns(row.identity);
        const revoked = await revokeCertificate(registry, shared.storage, row, reason);
        return create(RevokeCertificateResponseSchema, {
          certificate: certificateMessage(revoked, registry.now),
        });
      });
      context.note({ serial: response.certificate?.serial ?? "", reason });
      return response;
    },
    async revokePublicKey(request, context) {
      const registry = shared.open(context.unit);
      const reason = checkReason(request.reason || "keyCompromise");
      if (request.publicKey.length > publicKeyBytesMax) {
        throw new DomainError("invalid-argument", `a public key has at most ${publicKeyBytesMax} bytes`);
      }
      const publicKeySha256 = createHash("sha256").update(publicKeyOf(request.publicKey)).digest();
      const requestHash = hashRequest(RevokePublicKeyRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RevokePublicKeyResponseSchema, async () =>
        create(RevokePublicKeyResponseSchema, {
          publicKeySha256: publicKeySha256.toString("hex"),
          certificatesRevoked: await revokeKey(registry, shared.storage, publicKeySha256, reason),
        }),
      );
      context.note({ publicKeySha256: response.publicKeySha256, certificates: response.certificatesRevoked });
      return response;
    },
  };
}
