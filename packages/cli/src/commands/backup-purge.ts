import { createReadStream, existsSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Claviger } from "@claviger/client";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { printable } from "../output.ts";

interface Purged {
  /** Deleted, each with what lay beside it. */
  deleted: { id: string; path: string }[];
  /** Expired, and not where this host had put it: somebody moved it. */
  elsewhere: { id: string; path: string }[];
  /** Left alone, and why. */
  left: { path: string; why: string }[];
}

export function register(backup: Command): void {
  defineCommand<{ copy?: string[] }>(backup, {
    usage: "purge",
    description:
      "delete copies of backups whose day has come: those that this host knows of, and those that are named",
    examples: ["backup purge", "backup purge --copy /media/usb/claviger.backup"],
    options: [["--copy <file...>", "a copy that was brought elsewhere; deleted if its day has come"]],
    async run(session, _, { copy = [] }) {
      const purged = await purge(
        await session.connect(),
        dirname(await session.configPath()),
        copy.map((path) => resolve(path)),
      );
      session.answer(purged, () => text(purged));
    },
  });
}

/** It is in the audit log before a file is gone; a file is deleted only where it is that very backup. */
async function purge(claviger: Claviger, stateDirectory: string, named: readonly string[]): Promise<Purged> {
  const { forgetCopies, knownCopies } = await import("@claviger/backup");
  const now = new Date().toISOString();
  const purged: Purged = { deleted: [], elsewhere: [], left: [] };
  const wanted = new Map<string, string[]>();
  const add = (id: string, path: string): unknown => wanted.set(id, [...(wanted.get(id) ?? []), path]);
  for (const { expiresAt, id, path } of knownCopies(stateDirectory)) {
    if (expiresAt > now) continue;
    if (!existsSync(path)) purged.elsewhere.push({ id, path });
    else if ((await idOf(path)) === id) add(id, path);
    else purged.left.push({ path, why: "another file lies there now" });
  }
  for (const path of named) {
    if (!existsSync(path)) throw new DomainError("invalid-argument", `there is no file ${path}`);
    const id = await idOf(path);
    if (id === undefined) purged.left.push({ path, why: "it is no backup of Claviger's" });
    else if (!(wanted.get(id) ?? []).includes(path)) add(id, path);
  }
  for (const [backupId, paths] of wanted) {
    try {
      await claviger.backup.purgeBackup({ backupId, copies: paths.length });
    } catch (error) {
      if (!isDomainError(error, "not-found") && !isDomainError(error, "failed-precondition")) throw error;
      purged.left.push(...paths.map((path) => ({ path, why: error.message })));
      continue;
    }
    for (const path of paths) {
      rmSync(path);
      rmSync(`${path}.manifest.json`, { force: true });
      purged.deleted.push({ id: backupId, path });
    }
  }
  if (existsSync(stateDirectory))
    forgetCopies(
      stateDirectory,
      purged.deleted.map(({ path }) => path),
    );
  return purged;
}

/** Undefined where it is no backup. */
async function idOf(path: string): Promise<string | undefined> {
  const { ByteReader, readHeader } = await import("@claviger/backup");
  const source = createReadStream(path, { highWaterMark: 64 * 1024 });
  try {
    return (await readHeader(new ByteReader(source))).header.id;
  } catch (error) {
    if (isDomainError(error)) return undefined;
    throw error;
  } finally {
    source.destroy();
  }
}

function text({ deleted, elsewhere, left }: Purged): string {
  if (deleted.length + elsewhere.length + left.length === 0) {
    return "nothing to delete: the day of no copy that this host knows of has come";
  }
  return [
    ...deleted.map(({ id, path }) => `deleted ${printable(path)}, a copy of backup ${id}`),
    ...elsewhere.map(
      ({ id, path }) =>
        `backup ${id} was at ${printable(path)} and is not there: delete it where it was brought`,
    ),
    ...left.map(({ path, why }) => `left ${printable(path)}: ${why}`),
    "copies that nobody here knows of are yours to find and delete",
  ].join("\n");
}
