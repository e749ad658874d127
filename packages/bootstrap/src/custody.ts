import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { DomainError } from "@claviger/domain-error";

/** The files in `recoveryDirectory`, and in a later recovery key's directory there, that hold shares. */
export async function sharesLeft(recoveryDirectory: string): Promise<string[]> {
  if (!existsSync(recoveryDirectory)) return [];
  const names = await readdir(recoveryDirectory, { recursive: true });
  return names.filter((name) => /^([0-9a-f]{16}\/)?share-\d+\.txt$/.test(name)).sort();
}

/**
 * In production the shares leave this host once the ceremony was held: together, and beside the wraps that they
 * open, they are no custody.
 * @throws DomainError `failed-precondition` that names what is left
 */
export async function requireSharesGone(
  recoveryDirectory: string,
  profile: string | undefined,
): Promise<void> {
  if (profile !== "production") return;
  const left = await sharesLeft(recoveryDirectory);
  if (left.length === 0) return;
  throw new DomainError(
    "failed-precondition",
    `not fit for production: shares of the recovery key are still here: ${left.join(", ")} in ${recoveryDirectory}`,
    { hint: "give each to another custodian, delete it here, and start again" },
  );
}
