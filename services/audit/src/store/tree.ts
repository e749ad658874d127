import type { Transaction } from "@claviger/database";
import { type NodeCoordinate, type NodeMap, nodeMap, type TreeNode } from "@claviger/merkle";

/** The log's size, with the sequencer's lock: whoever holds it appends, everybody else waits. */
export async function lockTree(tx: Transaction): Promise<number> {
  const [row] = await tx.query<{ size: string }>("SELECT size FROM tree WHERE id = 1 FOR UPDATE");
  return Number(row!.size);
}

export async function readTreeSize(tx: Transaction): Promise<number> {
  const [row] = await tx.query<{ size: string }>("SELECT size FROM tree WHERE id = 1");
  return Number(row!.size);
}

export async function setTreeSize(tx: Transaction, size: number): Promise<void> {
  await tx.query("UPDATE tree SET size = $1 WHERE id = 1", [size]);
}

export async function readNodes(tx: Transaction, coordinates: readonly NodeCoordinate[]): Promise<NodeMap> {
  const rows = await tx.query<{ level: number; index: string; hash: Buffer }>(
    `SELECT n.level, n.index, n.hash FROM nodes n
     JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, index)
       ON n.level = wanted.level AND n.index = wanted.index`,
    [coordinates.map(({ level }) => level), coordinates.map(({ index }) => index)],
  );
  return nodeMap(rows.map(({ level, index, hash }) => ({ level, index: Number(index), hash })));
}

export async function insertNodes(tx: Transaction, nodes: readonly TreeNode[]): Promise<void> {
  await tx.query(
    "INSERT INTO nodes (level, index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])",
    [
      nodes.map(({ level }) => level),
      nodes.map(({ index }) => index),
      nodes.map(({ hash }) => Buffer.from(hash)),
    ],
  );
}
