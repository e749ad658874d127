import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
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
  supersededAt?: Timestamp,
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
      destroyAt: timeOf((key.state === "destroyed" ? key.stateChangedAt : undefined) ?? key.destroyAt),
      keyDates: { activateAt: timeOf(key.activateAt), expireAt: timeOf(key.expireAt) },
      versionDates: {
        activateAt: timeOf(version.activateAt),
        expireAt: earlier(timeOf(version.expireAt), timeOf(supersededAt)),
      },
    },
    subjectPublicKeyInfo: Buffer.alloc(0),
    publicOnly: false,
  };
  return { facts, binding };
}

function timeOf(time: Timestamp | undefined): Date | undefined {
  return time === undefined ? undefined : timestampDate(time);
}

/** What takes a version's place ends its protecting, as its own day does. */
function earlier(one: Date | undefined, other: Date | undefined): Date | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one < other ? one : other;
}
