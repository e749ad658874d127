import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DomainError } from "@claviger/domain-error";

export interface Account {
  uid: number;
  gid: number;
}

export interface Ownership {
  mode: number;
  /** Whose it becomes; left out, it stays with whoever runs this. */
  account?: Account | undefined;
}

/** Makes a directory, or brings an existing one to the wanted mode and owner. Refuses a symbolic link. */
export async function ensureDirectory(path: string, { mode, account }: Ownership): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  const directory = await openDirectory(path);
  try {
    // By descriptor: what lies in a service's own directory could be exchanged by it in between.
    const found = await directory.stat();
    if (account !== undefined && (found.uid !== account.uid || found.gid !== account.gid)) {
      await directory.chown(account.uid, account.gid);
    }
    if ((found.mode & 0o7777) !== mode) await directory.chmod(mode);
  } finally {
    await directory.close();
  }
}

async function openDirectory(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (cause) {
    throw new DomainError("failed-precondition", `${path} is not a directory that can be entered`, {
      hint: "move it away, or start as its owner",
      cause,
    });
  }
}

/**
 * Writes a file whole or not at all. The directory may belong to the service that the file is for, so
 * that the new file is opened exclusively (no link of theirs is followed) and handed over by descriptor.
 */
export async function writeOwnedFile(
  path: string,
  content: string | Uint8Array,
  { mode, account }: Ownership,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.chmod(mode);
    if (account !== undefined) await file.chown(account.uid, account.gid);
    await file.sync();
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw cause;
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Reads a password file, or makes one with 256 random bits, readable by its owner alone. */
export async function ensurePassword(path: string, account: Account | undefined): Promise<string> {
  const known = await readIfThere(path);
  if (known !== undefined && known.trim() !== "") return known.trim();
  const password = randomBytes(32).toString("base64url");
  await writeOwnedFile(path, `${password}\n`, { mode: 0o600, account });
  return password;
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}
