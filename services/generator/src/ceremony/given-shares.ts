import { readFileSync } from "node:fs";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import { combineShares } from "./shares.ts";

const firstShare = 3;

/**
 * The recovery key of the shares that this process was given as open files, so that no other process reads them.
 * @throws DomainError `failed-precondition`: a share that does not fit is nothing that was typed wrong
 */
export async function recoveryKeyOfShares(count: number): Promise<SecretBytes> {
  const texts = Array.from({ length: count }, (_, at) => readFileSync(firstShare + at, "utf8"));
  try {
    return await combineShares(texts);
  } catch (cause) {
    throw new DomainError("failed-precondition", (cause as Error).message, {
      hint: "each share is a file of its own, as the ceremony made it",
      cause,
    });
  }
}
