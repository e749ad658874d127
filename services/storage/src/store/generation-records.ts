import type { Transaction } from "@claviger/database";

export interface GenerationRecordRow {
  keyId: string;
  version: number;
  /** JSON. */
  record: Buffer;
  signature: Buffer;
  signerVersion: number;
}

export async function insertGenerationRecord(tx: Transaction, row: GenerationRecordRow): Promise<void> {
  await tx.query(
    `INSERT INTO generation_records (key_id, version, record, signature, signer_version)
     VALUES ($1, $2, $3, $4, $5)`,
    [row.keyId, row.version, row.record, row.signature, row.signerVersion],
  );
}

export async function findGenerationRecord(
  tx: Transaction,
  keyId: string,
  version: number,
): Promise<GenerationRecordRow | undefined> {
  const [row] = await tx.query<GenerationRecordRow>(
    `SELECT key_id AS "keyId", version, record, signature, signer_version AS "signerVersion"
     FROM generation_records WHERE key_id = $1 AND version = $2`,
    [keyId, version],
  );
  return row;
}
