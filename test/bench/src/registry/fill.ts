import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { createColumnCipher } from "../../../../packages/column-cipher/src/index.ts";
import { createRowSealer } from "../../../../packages/row-seal/src/index.ts";
import { concealDetails, soughtDigests } from "../../../../services/storage/src/key-details.ts";
import { insertVersion } from "../../../../services/storage/src/store/key-versions.ts";
import { insertKey, type KeyRow } from "../../../../services/storage/src/store/keys.ts";
import { RowCapture } from "./row-capture.ts";

export const versionsOfKey = 3;
/** How many keys have the same label. */
export const keysOfTeam = 20;
const keysOfBatch = 2000;
const keyringsMax = 100;

export interface FillOptions {
  /** As the superuser, with the schema in reach. */
  database: pg.ClientConfig;
  sealKey: Buffer;
  /** How many keys are there already, and are to be there. */
  from: number;
  to: number;
  signal: AbortSignal;
  onProgress: (keys: number) => void;
}

export function keyringOf(index: number): string {
  return `fill-${String(index % keyringsMax).padStart(3, "0")}`;
}

export function nameOf(index: number): string {
  return `${keyringOf(index)}/k${String(index).padStart(8, "0")}`;
}

export function teamOf(index: number): string {
  return `team-${Math.floor(index / keysOfTeam)}`;
}

/** Keys with three versions each, sealed as storage seals them; their material is nobody's, and is not used. */
export async function fill(options: FillOptions): Promise<void> {
  const { database, from, onProgress, sealKey, signal, to } = options;
  const client = new pg.Client(database);
  await client.connect();
  try {
    const sealer = createRowSealer(sealKey);
    const columns = createColumnCipher(sealKey);
    const capture = new RowCapture();
    for (let index = from; index < to; index += 1) {
      const id = randomUUID();
      const key = keyRow(index, id);
      const details = {
        createdBy: "",
        owner: `owner-${index % 1000}`,
        description: "",
        labels: { team: teamOf(index) },
      };
      await insertKey(capture, sealer, { ...key, details: concealDetails(columns, id, details) });
      for (let version = 1; version <= versionsOfKey; version += 1) {
        await insertVersion(capture, sealer, {
          keyId: id,
          version,
          state: version === versionsOfKey ? "active" : "deactivated",
          material: randomBytes(130),
          createdAt: key.createdAt,
          activateAt: null,
          expireAt: null,
          stateReason: "",
          stateChangedAt: null,
          revision: 1,
        });
      }
      for (const digest of soughtDigests(columns, details)) {
        capture.add("key_search", "digest, keyring, name, key_id", [digest, key.keyring, key.name, id]);
      }
      if ((index + 1) % keysOfBatch === 0 || index + 1 === to) {
        signal.throwIfAborted();
        await copy(client, capture);
        onProgress(index + 1);
      }
    }
    for (const table of ["keys", "key_versions", "key_search"]) await client.query(`VACUUM ANALYZE ${table}`);
  } finally {
    await client.end();
  }
}

async function copy(client: pg.Client, capture: RowCapture): Promise<void> {
  for (const { columns, table, text } of capture.take()) {
    const stream = client.query(copyFrom(`COPY ${table} (${columns}) FROM STDIN`));
    const done = once(stream, "finish");
    stream.end(text);
    await done;
  }
}

function keyRow(index: number, id: string): KeyRow {
  const [keyring = "", name = ""] = nameOf(index).split("/");
  const createdAt = new Date(1_750_000_000_000 + index);
  return {
    id,
    keyring,
    name,
    purpose: "mac",
    algorithm: "hmac-sha256",
    protection: "software",
    exportable: false,
    state: "active",
    currentVersion: versionsOfKey,
    owner: "",
    createdAt,
    rotatedAt: createdAt,
    rotationPeriodSeconds: 0,
    destroyAfterDays: 30,
    destroyAt: null,
    activateAt: null,
    expireAt: null,
    stateReason: "",
    stateChangedAt: null,
    latestVersion: null,
    details: null,
    revision: 1,
  };
}
