import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { parseKeyName } from "../names.ts";
import type { Registry } from "../registry.ts";
import {
  countImportKeys,
  deleteExpiredImportKeys,
  insertImportKey,
  takeImportKey,
} from "../store/import-keys.ts";

const lifetimeSecondsMax = 600;
const wrappedBytesMax = 1024;
const importsMax = 10_000;
const importsPerCallerMax = 10;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Imports that were begun: so that whichever generator is asked next can end them, and one alone. */
export function importKeyHandlers(
  open: (tx: Transaction) => Registry,
): Pick<Handlers<typeof KeyMaterialService, Transaction>, "keepImportKey" | "takeImportKey"> {
  return {
    async keepImportKey({ caller, id, lifetimeSeconds, name, wrapped }, { unit }) {
      const { now } = open(unit);
      if (lifetimeSeconds < 1 || lifetimeSeconds > lifetimeSecondsMax || wrapped.length > wrappedBytesMax) {
        throw new DomainError("invalid-argument", "a wrapping key's lifetime or length is out of range");
      }
      await deleteExpiredImportKeys(unit, now);
      const { uri } = parseIdentity(caller);
      const { all, own } = await countImportKeys(unit, uri);
      if (own >= importsPerCallerMax || all >= importsMax) {
        throw new DomainError("exhausted", "too many imports have been begun and not ended", {
          hint: "end one, or wait ten minutes until they expire",
        });
      }
      const expiresAt = new Date(now.getTime() + lifetimeSeconds * 1000);
      parseKeyName(name);
      await insertImportKey(unit, { id: checkId(id), caller: uri, name, wrapped, expiresAt });
      return {};
    },
    async takeImportKey({ caller, id, name }, { unit }) {
      const known = uuidPattern.test(id)
        ? await takeImportKey(unit, { id, caller, name }, open(unit).now)
        : undefined;
      if (known === undefined) {
        throw new DomainError(
          "failed-precondition",
          "there is no such wrapping key of this caller's for this key",
          { hint: "a wrapping key is for one import within ten minutes: begin again" },
        );
      }
      return { wrapped: known };
    },
  };
}

function checkId(id: string): string {
  if (uuidPattern.test(id)) return id;
  throw new DomainError("invalid-argument", "a wrapping key's id is not a UUID");
}
