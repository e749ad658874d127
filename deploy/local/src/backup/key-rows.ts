import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { to as copyTo } from "pg-copy-streams";

/** Generations that can still open something; then every version that has material. Nothing in it is secret. */
const queries = [
  `SELECT 'generation', keyring, generation, token_object_id FROM storage.keyring_generations g
   WHERE NOT EXISTS (SELECT FROM storage.keyring_generation_ends e
     WHERE e.keyring = g.keyring AND e.generation = g.generation)`,
  `SELECT 'version', k.keyring || '/' || k.name, v.version, k.id, k.algorithm, k.protection, k.exportable,
     encode(v.material, 'hex'), coalesce(encode(d.digest, 'hex'), '')
   FROM storage.key_versions v JOIN storage.keys k ON k.id = v.key_id
   LEFT JOIN storage.material_digests d ON d.key_id = v.key_id AND d.version = v.version
   WHERE v.material IS NOT NULL`,
];

/** Lines of fields between tabs, for the generator's program that tries the keys. */
export async function writeKeyRows(database: Client, path: string): Promise<void> {
  for (const [at, query] of queries.entries()) {
    const rows = database.query(copyTo(`COPY (${query}) TO STDOUT`));
    await pipeline(rows, createWriteStream(path, { mode: 0o600, flags: at === 0 ? "wx" : "a" }));
  }
}
