import { timestampDate } from "@bufbuild/protobuf/wkt";
import { DomainError } from "@claviger/domain-error";
import { isKeyState } from "@claviger/lifecycle";
import type { Key, KeyVersion } from "@claviger/proto/storage/v1/key_pb.ts";
import { checkAlgorithm, checkProtection } from "./algorithm-choice.ts";
import { algorithmRow } from "./algorithms.ts";
import { uuidBytes } from "./ciphertext.ts";
import type { MaterialBinding } from "./material-envelope.ts";
import type { KeyFacts } from "./usable-key.ts";

/** What storage's answer says, and what its material must be bound to. @throws DomainError `integrity` */
export function readFacts(
  key: Key | undefined,
  version: KeyVersion | undefined,
  name: string,
): { facts: KeyFacts; binding: MaterialBinding } {
  if (key === undefined || version === undefined || key.name !== name) {
    throw new DomainError("integrity", "storage answered with another key than was asked for");
  }
  if (!isKeyState(key.state) || !isKeyState(version.state)) {
    throw new DomainError("integrity", "storage answered with a state that does not exist");
  }
  const algorithm = checkAlgorithm(key.algorithm);
  const binding: MaterialBinding = {
    name,
    keyId: key.id,
    version: version.version,
    algorithm,
    purpose: algorithmRow(algorithm).purpose,
    protection: checkProtection(key.protection),
    exportable: key.exportable,
  };
  const facts: KeyFacts = {
    name,
    id: key.id,
    idBytes: uuidBytes(key.id),
    version: version.version,
    algorithm,
    scheme: algorithmRow(algorithm).scheme,
    protection: binding.protection,
    exportable: binding.exportable,
    condition: {
      keyState: key.state,
      versionState: version.state,
      destroyAt: key.destroyAt === undefined ? undefined : timestampDate(key.destroyAt),
    },
    subjectPublicKeyInfo: Buffer.alloc(0),
    publicOnly: false,
  };
  return { facts, binding };
}
