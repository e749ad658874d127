import type { Transaction } from "@claviger/database";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { type Handlers, pageSize, pageToken, readNumberToken, readPageToken } from "@claviger/rpc";
import { requireReach } from "../access.ts";
import { floorOf } from "../destruction-period.ts";
import { holdsOf } from "../holds.ts";
import { detailsOf, isSought, soughtDigests } from "../key-details.ts";
import { generationHistory } from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import { fullName, type Registry, requireKey, requireKeyring } from "../registry.ts";
import { listVersionUses } from "../store/key-callers.ts";
import { listKeys } from "../store/key-search.ts";
import { listVersions } from "../store/key-versions.ts";
import { listKeyrings } from "../store/keyrings.ts";
import { countMaterial } from "../store/superseded-material.ts";
import { listUses } from "../store/uses.ts";
import { changeHandlers } from "./key-changes.ts";
import { dependantHandlers } from "./key-dependants.ts";
import { keyMessage, keyringMessage, versionMessage } from "./messages.ts";

type OpenRegistry = (tx: Transaction) => Registry;
export function keyHandlers(open: OpenRegistry): Handlers<typeof KeyService, Transaction> {
  return { ...readers(open), ...changeHandlers(open), ...dependantHandlers(open) };
}

type KeyHandlers = Handlers<typeof KeyService, Transaction>;

function readers(
  open: OpenRegistry,
): Pick<KeyHandlers, "listKeyrings" | "getKeyring" | "listKeys" | "getKey" | "listKeyVersions"> {
  return {
    async listKeyrings(request, { caller, unit }) {
      const registry = open(unit);
      const { sealer } = registry;
      const reach = await requireReach(registry, caller, "keyrings.get", "");
      const limit = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken);
      const rows = await listKeyrings(unit, sealer, { reach, after, limit });
      const keyrings = [];
      for (const row of rows) keyrings.push(keyringMessage(row, await generationHistory(registry, row.name)));
      return { keyrings, nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.name) };
    },
    async getKeyring(request, { unit }) {
      const registry = open(unit);
      const row = await requireKeyring(registry, checkKeyringName(request.name));
      const generations = await generationHistory(registry, row.name);
      const progress = [];
      for (const [at, one] of generations.entries()) {
        const underWay = at < generations.length - 1 && one.endedAt === undefined;
        const materialsLeft = underWay ? await countMaterial(unit, row.name, one.generation) : 0;
        progress.push({ ...one, materialsLeft });
      }
      return { keyring: keyringMessage(row, progress, await floorOf(registry, row.name)) };
    },
    async listKeys(request, { caller, unit }) {
      const registry = open(unit);
      const within = request.keyring === "" ? "" : checkKeyringName(request.keyring);
      const reach = await requireReach(registry, caller, "keys.get", within);
      const limit = pageSize(request.pageSize);
      const [keyring = "", key = ""] = readPageToken(request.pageToken).split("/");
      const digests = soughtDigests(registry.columns, request);
      const after = { keyring, key };
      const rows = await listKeys(unit, registry.sealer, { reach, keyring: within, digests, after, limit });
      const last = rows.length < limit ? undefined : rows.at(-1);
      const found =
        digests.length === 0
          ? rows
          : rows.filter((row) => isSought(detailsOf(registry.columns, row), request));
      return {
        keys: found.map((row) => keyMessage(registry, row)),
        nextPageToken: pageToken(last === undefined ? undefined : fullName(last)),
      };
    },
    async getKey(request, { unit }) {
      const registry = open(unit);
      const key = await requireKey(registry, request.name);
      return { key: keyMessage(registry, key, await holdsOf(registry, key)) };
    },
    async listKeyVersions(request, { unit }) {
      const registry = open(unit);
      const key = await requireKey(registry, request.name);
      const limit = pageSize(request.pageSize);
      const after = readNumberToken(request.pageToken);
      const rows = await listVersions(unit, registry.sealer, key.id, after, limit);
      const numbers = rows.map(({ version }) => version);
      const uses = await listUses(unit, registry.sealer, key.id, numbers);
      const usesOf = new Map(uses.map((row) => [row.version, row]));
      const seen = await listVersionUses(unit, key.id, numbers);
      const seenOf = new Map(seen.map((row) => [row.version, row]));
      return {
        versions: rows.map((row) => {
          const of = { uses: usesOf.get(row.version), seen: seenOf.get(row.version) };
          return versionMessage(registry, row, key, of);
        }),
        nextPageToken: pageToken(rows.length < limit ? undefined : String(rows.at(-1)?.version)),
      };
    },
  };
}
