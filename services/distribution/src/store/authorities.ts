import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface AuthorityRow {
  /** "root", "issuing", or what the configuration names besides. */
  name: string;
  generation: number;
  keyName: string;
  keyVersion: number;
  /** DER. */
  certificate: Buffer;
  createdAt: Date;
}

const columns = `name, generation, key_name AS "keyName", key_version AS "keyVersion", certificate,
  created_at AS "createdAt", seal`;

/** In the order in which a generation passes through them. */
export const authorityStates = ["coming", "active", "retiring", "retired", "distrusted"] as const;
export type AuthorityState = (typeof authorityStates)[number];

export interface AuthorityStateRow {
  name: string;
  generation: number;
  state: AuthorityState;
  changedAt: Date;
}

export interface CrossCertificateRow {
  name: string;
  generation: number;
  issuerGeneration: number;
  /** DER. */
  certificate: Buffer;
}

type Sealed<Row> = Row & { seal: Buffer };

/** Where two replicas make the same generation at once, the first one's stays. */
export async function insertAuthority(tx: Transaction, sealer: RowSealer, row: AuthorityRow): Promise<void> {
  await tx.query(
    `INSERT INTO authorities (name, generation, key_name, key_version, certificate, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
    [
      row.name,
      row.generation,
      row.keyName,
      row.keyVersion,
      row.certificate,
      row.createdAt,
      sealer.seal("authorities", { ...row }),
    ],
  );
}

function open(sealer: RowSealer, { seal, ...row }: Sealed<AuthorityRow>): AuthorityRow {
  sealer.check("authorities", `the ${row.name} CA`, { ...row }, seal);
  return row;
}

export async function listAuthorities(tx: Transaction, sealer: RowSealer): Promise<AuthorityRow[]> {
  const rows = await tx.query<Sealed<AuthorityRow>>(
    `SELECT ${columns} FROM authorities ORDER BY name, generation`,
  );
  return rows.map((row) => open(sealer, row));
}

export async function saveAuthorityState(
  tx: Transaction,
  sealer: RowSealer,
  row: AuthorityStateRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO authority_states (name, generation, state, changed_at, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (name, generation) DO UPDATE SET state = $3, changed_at = $4, seal = $5`,
    [row.name, row.generation, row.state, row.changedAt, sealer.seal("authority_states", { ...row })],
  );
}

export async function listAuthorityStates(tx: Transaction, sealer: RowSealer): Promise<AuthorityStateRow[]> {
  const rows = await tx.query<Sealed<AuthorityStateRow>>(
    `SELECT name, generation, state, changed_at AS "changedAt", seal FROM authority_states`,
  );
  return rows.map(({ seal, ...row }) => {
    sealer.check("authority_states", `the ${row.name} CA's state`, { ...row }, seal);
    return row;
  });
}

export async function insertCrossCertificate(
  tx: Transaction,
  sealer: RowSealer,
  row: CrossCertificateRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO cross_certificates (name, generation, issuer_generation, certificate, seal)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
    [
      row.name,
      row.generation,
      row.issuerGeneration,
      row.certificate,
      sealer.seal("cross_certificates", { ...row }),
    ],
  );
}

export async function listCrossCertificates(
  tx: Transaction,
  sealer: RowSealer,
): Promise<CrossCertificateRow[]> {
  const rows = await tx.query<Sealed<CrossCertificateRow>>(
    `SELECT name, generation, issuer_generation AS "issuerGeneration", certificate, seal FROM cross_certificates
     ORDER BY name, generation, issuer_generation`,
  );
  return rows.map(({ seal, ...row }) => {
    sealer.check("cross_certificates", `the ${row.name} CA's cross-certificate`, { ...row }, seal);
    return row;
  });
}

export interface AuthorityChainRow {
  name: string;
  generation: number;
  /** PEM, without the root; empty where the root signed the CA itself. */
  chain: string;
}

export async function insertAuthorityChain(
  tx: Transaction,
  sealer: RowSealer,
  row: AuthorityChainRow,
): Promise<void> {
  await tx.query("INSERT INTO authority_chains (name, generation, chain, seal) VALUES ($1, $2, $3, $4)", [
    row.name,
    row.generation,
    row.chain,
    sealer.seal("authority_chains", { ...row }),
  ]);
}

export async function listAuthorityChains(tx: Transaction, sealer: RowSealer): Promise<AuthorityChainRow[]> {
  const rows = await tx.query<Sealed<AuthorityChainRow>>(
    "SELECT name, generation, chain, seal FROM authority_chains",
  );
  return rows.map(({ seal, ...row }) => {
    sealer.check("authority_chains", `the ${row.name} CA's chain`, { ...row }, seal);
    return row;
  });
}

export const sealedAuthorities: SealedTable = {
  name: "authorities",
  columns,
  key: [
    { column: "name", type: "text" },
    { column: "generation", type: "integer" },
  ],
  revision: (row: AuthorityRow) => row.createdAt.getTime(),
  label: (row: AuthorityRow) => `the ${row.name} CA, generation ${row.generation}`,
  open,
};
