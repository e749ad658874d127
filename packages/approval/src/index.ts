import { type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";

/** Everything that somebody approves. */
export interface ApprovalFacts {
  id: string;
  requester: string;
  method: string;
  permission: string;
  resource: string;
  requestHash: Uint8Array;
  required: number;
  group: string;
  expiresAt: Date;
}

const domain = "claviger/approval/v1\0";

/** What is signed: nothing of the approval can be changed afterwards. */
export function approvalBytes(facts: ApprovalFacts): Buffer {
  const { expiresAt, group, id, method, permission, requester, requestHash, required, resource } = facts;
  const text = canonicalJson({
    v: 1,
    id,
    requester,
    method,
    permission,
    resource,
    requestSha256: Buffer.from(requestHash).toString("hex"),
    required,
    group,
    expiresAt: expiresAt.toISOString(),
  });
  return Buffer.from(`${domain}${text}`, "utf8");
}

/** By the key of the approver's certificate: ECDSA and RSA with SHA-256, Ed25519 as it is. */
export function signApproval(facts: ApprovalFacts, key: KeyObject): Buffer {
  return sign(digestFor(key), approvalBytes(facts), key);
}

/** @param certificate DER */
export function verifyApproval(
  facts: ApprovalFacts,
  certificate: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const key = new X509Certificate(certificate).publicKey;
    return verify(digestFor(key), approvalBytes(facts), key, signature);
  } catch {
    return false;
  }
}

function digestFor(key: KeyObject): "sha256" | null {
  return key.asymmetricKeyType === "ed25519" ? null : "sha256";
}
