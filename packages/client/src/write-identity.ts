import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import { type Addresses, formatConfig } from "./config-file.ts";
import type { EnrolledIdentity } from "./enroll.ts";

export interface IdentityFiles extends EnrolledIdentity {
  trustDomain: string;
  addresses: Addresses;
}

/**
 * Refuses a directory that holds an identity already. Ask before a one-time token is spent.
 * @throws DomainError `already-exists`
 */
export function requireNoIdentity(directory: string): void {
  if (!existsSync(join(directory, "key.pem"))) return;
  throw new DomainError("already-exists", `${directory} holds an identity already`, {
    hint: "name another directory, or move this one away",
  });
}

/**
 * Writes what `createClaviger` reads: key.pem (mode 0600), cert.pem, bundle.pem and a claviger.json
 * whose identity is this directory. The key comes last: where it is, everything is.
 */
export function writeIdentity(directory: string, files: IdentityFiles): void {
  requireNoIdentity(directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeWhole(join(directory, "bundle.pem"), files.trustBundle, 0o644);
  writeWhole(join(directory, "cert.pem"), files.certificateChain, 0o644);
  writeWhole(join(directory, "claviger.json"), formatConfig(files.trustDomain, files.addresses), 0o644);
  writeWhole(join(directory, "key.pem"), files.key, 0o600);
}

function writeWhole(path: string, content: string, mode: number): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.part`;
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      writeSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new DomainError("failed-precondition", `${path} cannot be written`, { cause });
  }
}
