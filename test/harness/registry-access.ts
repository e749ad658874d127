import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createColumnCipher } from "../../packages/column-cipher/src/index.ts";
import { type Database, openDatabase, type Transaction } from "../../packages/database/src/index.ts";
import { createDatabaseAuditedWork, type DatabaseAuditedWork } from "../../packages/outbox/src/index.ts";
import { Ledger } from "../../packages/row-ledger/src/index.ts";
import { createRowSealer } from "../../packages/row-seal/src/index.ts";
import { requireSettledKey } from "../../services/storage/src/key-dates.ts";
import { fullName, type Registry, requireKey } from "../../services/storage/src/registry.ts";
import { sealedTables } from "../../services/storage/src/sealed-tables.ts";
import { type KeyRow, updateKey } from "../../services/storage/src/store/keys.ts";
import type { TestInstallation } from "./installation.ts";

/**
 * Storage's own code on the installation's database, as storage's role and with its keys, but with a clock of the
 * test's: as one more replica that lives on another day.
 */
export class RegistryAccess implements AsyncDisposable {
  /** What `registry.now` says, as an offset from the true time. */
  aheadMilliseconds = 0;
  readonly database: Database;
  readonly work: DatabaseAuditedWork;
  readonly open: (tx: Transaction) => Registry;
  readonly #ledger: Ledger;

  constructor(house: TestInstallation) {
    const directory = house.layout.serviceDirectory("storage");
    const read = (name: string): Buffer => readFileSync(join(directory, name));
    this.database = openDatabase({
      host: house.layout.postgresql.socketDirectory,
      port: house.ports.postgresql,
      database: "claviger",
      user: "storage",
      password: read("database.password").toString("utf8").trim(),
    });
    const sealKey = read("seal.key");
    const sealer = createRowSealer(sealKey);
    const columns = createColumnCipher(sealKey);
    const auditKey = read("audit.key");
    // What is written into the outbox the installation's own storage carries to the bus, within its second.
    const relay = { requireRoom() {}, wake() {} } as unknown as Parameters<
      typeof createDatabaseAuditedWork
    >[0]["relay"];
    this.work = createDatabaseAuditedWork({ database: this.database, service: "storage", auditKey, relay });
    const path = join(mkdtempSync(join(house.workDirectory, "ledger-")), "ledger.db");
    this.#ledger = new Ledger(path, sealedTables, () => undefined);
    this.open = (tx) => ({
      tx,
      sealer: this.#ledger.noting(tx, sealer),
      columns,
      now: new Date(Date.now() + this.aheadMilliseconds),
      actor: `spiffe://${house.trustDomain}/claviger/storage`,
      record: (record) => this.work.record(tx, record),
      ledger: this.#ledger,
      tell: () => undefined,
    });
  }

  run<T>(work: (registry: Registry) => Promise<T>): Promise<T> {
    return this.database.transaction((tx) => work(this.open(tx)));
  }

  /** A key's row as it is, without what its days have done. */
  row(name: string): Promise<KeyRow> {
    return this.run((registry) => requireKey(registry, name));
  }

  /** The same once storage looked at it on the test's day. */
  settled(name: string): Promise<KeyRow> {
    return this.run((registry) => requireSettledKey(registry, name));
  }

  /** As if its destruction period ended then: only who has storage's seal key can write that. */
  async endPeriod(name: string, destroyAt: Date): Promise<void> {
    await this.run(async (registry) => {
      const key = await requireKey(registry, name, "lock");
      if (key.destroyAt === null) throw new Error(`${fullName(key)} is not pending destruction`);
      await updateKey(registry.tx, registry.sealer, { ...key, destroyAt });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
    this.#ledger[Symbol.dispose]();
  }
}
