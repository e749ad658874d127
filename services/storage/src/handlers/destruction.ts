import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { checkRecoveryKey } from "../custody.ts";
import { generationHistory } from "../keyring-generations.ts";
import { type Registry, requireKey } from "../registry.ts";
import { type BackupRow, insertBackup, lastToExpire, listBackups } from "../store/backups.ts";
import {
  findDestruction,
  insertDestructionAcknowledgement,
  listDestructionAcknowledgements,
} from "../store/destructions.ts";

const acknowledgementsMax = 1000;
const backupsOfList = 1000;
const replicaCharactersMax = 200;
const digestBytes = 32;

type DestructionHandlers = Pick<
  Handlers<typeof KeyMaterialService, Transaction>,
  "acknowledgeDestruction" | "getDestruction" | "recordBackup" | "listBackups"
>;

export function destructionHandlers(open: (tx: Transaction) => Registry): DestructionHandlers {
  return {
    async acknowledgeDestruction({ name, replica }, context) {
      const registry = open(context.unit);
      const { row } = await requireDestruction(registry, name);
      if (replica === "" || replica.length > replicaCharactersMax) {
        throw new DomainError("invalid-argument", "a replica has a name");
      }
      context.note({ replica });
      await insertDestructionAcknowledgement(context.unit, registry.sealer, {
        keyId: row.keyId,
        replica,
        acknowledgedAt: registry.now,
      });
      return {};
    },
    async getDestruction({ name }, { unit }) {
      const registry = open(unit);
      const { key, row } = await requireDestruction(registry, name);
      const acknowledgements = await listDestructionAcknowledgements(
        unit,
        registry.sealer,
        row.keyId,
        acknowledgementsMax,
      );
      const generations = await generationHistory(registry, key.keyring);
      const last = await lastToExpire(unit, registry.sealer, row.destroyedAt);
      return {
        keyId: row.keyId,
        algorithm: key.algorithm,
        versions: key.currentVersion,
        destroyedAt: timestampFromDate(row.destroyedAt),
        acknowledgements: acknowledgements.map(({ acknowledgedAt, replica }) => ({
          replica,
          at: timestampFromDate(acknowledgedAt),
        })),
        generations: generations
          .filter(({ generation }) => generation <= row.generation)
          .map(({ destroyedAt, generation }) => ({
            generation,
            ...(destroyedAt === undefined ? {} : { destroyedAt: timestampFromDate(destroyedAt) }),
          })),
        ...(last === undefined ? {} : { lastBackupExpiresAt: timestampFromDate(last.expiresAt) }),
      };
    },
    async recordBackup(request, context) {
      const registry = open(context.unit);
      if (request.expiresAt === undefined || request.manifestDigest.length !== digestBytes) {
        throw new DomainError("invalid-argument", "a backup has an end, and a manifest");
      }
      const row: BackupRow = {
        id: request.id,
        madeBy: request.madeBy,
        madeAt: registry.now,
        expiresAt: timestampDate(request.expiresAt),
        recoveryKey: checkRecoveryKey(request.recoveryKey),
        manifest: Buffer.from(request.manifestDigest),
      };
      context.note({ backup: row.id, expiresAt: row.expiresAt.toISOString() });
      if (!(await insertBackup(context.unit, registry.sealer, row))) {
        throw new DomainError("already-exists", `backup ${row.id} was vouched for before`);
      }
      return {};
    },
    async listBackups(_, { unit }) {
      const rows = await listBackups(unit, open(unit).sealer, backupsOfList);
      return {
        backups: rows.map(({ expiresAt, id, madeAt, madeBy, manifest, recoveryKey }) => ({
          id,
          madeBy,
          madeAt: timestampFromDate(madeAt),
          expiresAt: timestampFromDate(expiresAt),
          recoveryKey,
          manifestDigest: manifest,
        })),
      };
    },
  };
}

async function requireDestruction(registry: Registry, name: string) {
  const key = await requireKey(registry, name);
  const row = await findDestruction(registry.tx, registry.sealer, key.id);
  if (row !== undefined && key.state === "destroyed") return { key, row };
  const when = key.destroyAt === null ? "" : `; its day is ${key.destroyAt.toISOString()}`;
  throw new DomainError("failed-precondition", `${name} was not destroyed${when}`, {
    hint: `claviger keys destroy ${name} begins it`,
  });
}
