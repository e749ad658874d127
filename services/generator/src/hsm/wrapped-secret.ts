import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";

const lengthBytes = 4;
const blockBytes = 8;

/**
 * Length, secret, zeros to a multiple of eight: RFC 5649 carries any length, but SoftHSM 2.6 gives
 * back a generic secret with its padding, so we say the length ourselves.
 */
export function padSecret(secret: SecretBytes): SecretBytes {
  const padded = SecretBytes.allocate(Math.ceil((lengthBytes + secret.length) / blockBytes) * blockBytes);
  const bytes = padded.expose();
  new DataView(bytes.buffer).setUint32(0, secret.length);
  bytes.set(secret.expose(), lengthBytes);
  return padded;
}

/** @throws DomainError `integrity` */
export function unpadSecret(padded: SecretBytes): SecretBytes {
  const bytes = padded.expose();
  const length = bytes.length < lengthBytes ? 0 : new DataView(bytes.buffer).getUint32(0);
  const end = lengthBytes + length;
  if (length === 0 || end > bytes.length || bytes.length - end >= blockBytes) {
    throw new DomainError("integrity", "unwrapped material has an impossible length");
  }
  if (bytes.subarray(end).some((byte) => byte !== 0)) {
    throw new DomainError("integrity", "unwrapped material has padding that is not zero");
  }
  const secret = SecretBytes.allocate(length);
  secret.expose().set(bytes.subarray(lengthBytes, end));
  return secret;
}
