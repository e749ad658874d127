import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { DomainError } from "@claviger/domain-error";
import { CertificateSchema } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { encodePem } from "@claviger/x509";
import type { Registry } from "./registry.ts";
import { type CertificateRow, findCertificate } from "./store/certificates.ts";

/** As OpenSSL prints serials, or as Claviger does. @throws DomainError `not-found` */
export async function requireCertificate(
  registry: Registry,
  serial: string,
  lock: "read" | "lock",
): Promise<CertificateRow> {
  const wanted = serial.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{1,40}$/.test(wanted)) {
    throw new DomainError("invalid-argument", "a serial is hexadecimal, of at most 20 bytes");
  }
  const row = await findCertificate(registry.tx, registry.sealer, wanted, lock);
  if (row === undefined) throw new DomainError("not-found", `there is no certificate ${wanted}`);
  return row;
}

export function certificateMessage(row: CertificateRow, now: Date) {
  return create(CertificateSchema, {
    serial: row.serial,
    subject: row.subject,
    names: row.names,
    profile: row.profile,
    requestedBy: row.requestedBy,
    notBefore: timestampFromDate(row.notBefore),
    notAfter: timestampFromDate(row.notAfter),
    state: stateOf(row, now),
    ...(row.revokedAt === null ? {} : { revokedAt: timestampFromDate(row.revokedAt) }),
    revocationReason: row.revocationReason ?? "",
    certificate: encodePem("CERTIFICATE", row.certificate),
  });
}

function stateOf({ notAfter, revocationReason, revokedAt }: CertificateRow, now: Date): string {
  if (revocationReason === "certificateHold") return "on hold";
  if (revokedAt !== null) return "revoked";
  return notAfter.getTime() <= now.getTime() ? "expired" : "valid";
}
