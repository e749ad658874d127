import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";

/** Remembers the tickets that were used until they end. */
export interface ReplayCache {
  /** Whether the ticket is used for the first time. @throws DomainError `exhausted` past its bound */
  take(nonce: string, until: Date): boolean;
}

const entriesMaxDefault = 100_000;

/** In memory: a ticket is taken once by whoever shares this cache, which is one process. */
export function createReplayCache(options: { entriesMax?: number; now?: () => Date } = {}): ReplayCache {
  const { entriesMax = entriesMaxDefault, now = () => new Date() } = options;
  const used = new Map<string, number>();
  let sweptAt = 0;
  const sweep = (at: number): void => {
    sweptAt = at;
    for (const [nonce, until] of used) if (until <= at) used.delete(nonce);
  };
  return {
    take(nonce, until) {
      const at = now().getTime();
      if (at - sweptAt > 10_000 || used.size >= entriesMax) sweep(at);
      if (used.has(nonce)) return false;
      if (used.size >= entriesMax) throw tooMany(entriesMax);
      used.set(nonce, until.getTime());
      return true;
    },
  };
}

/** In a directory: a ticket is taken once by all processes that share it, whatever becomes of each. */
export function openReplayDirectory(
  directory: string,
  options: { entriesMax?: number; now?: () => Date } = {},
): ReplayCache {
  const { entriesMax = entriesMaxDefault, now = () => new Date() } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return {
    take(nonce, until) {
      const at = now().getTime();
      const kept = readdirSync(directory).filter((name) => {
        if (Number(name.split("-")[0]) > at) return true;
        rmSync(join(directory, name), { force: true });
        return false;
      });
      if (kept.length >= entriesMax) throw tooMany(entriesMax);
      // The same ticket has the same name: the file system decides who was first.
      const name = `${until.getTime()}-${Buffer.from(nonce, "base64").toString("hex")}`;
      try {
        closeSync(openSync(join(directory, name), "wx", 0o600));
        return true;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
        throw new DomainError(
          "failed-precondition",
          `${directory} cannot be written, where used tickets are kept`,
          {
            hint: "a ticket is accepted only where it can be remembered",
            cause,
          },
        );
      }
    },
  };
}

function tooMany(entriesMax: number): DomainError {
  return new DomainError("exhausted", `${entriesMax} tickets were accepted that have not ended yet`, {
    hint: "try again once some have ended",
  });
}
