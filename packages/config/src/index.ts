import { readFileSync } from "node:fs";
import { DomainError } from "@claviger/domain-error";

export interface ListenAddress {
  host: string;
  port: number;
}

export interface SettingsReader {
  text(name: string, fallback?: string): string;
  /** One of a few words. */
  choice<T extends string>(name: string, choices: readonly [T, ...T[]], fallback?: T): T;
  integer(name: string, bounds: { min: number; max: number; fallback?: number }): number;
  address(name: string, fallback?: string): ListenAddress;
  /** The content of the file that the setting names, without a final newline. */
  fileText(name: string, fallbackPath?: string): string;
}

/**
 * Runs `read` over the environment and reports every problem at once, so that an operator mends
 * them in one go. Secrets are paths to files, never values.
 */
export function readSettings<T>(environment: NodeJS.ProcessEnv, read: (reader: SettingsReader) => T): T {
  const problems: string[] = [];
  const settings = read(createReader(environment, problems));
  if (problems.length > 0) {
    throw new DomainError("invalid-argument", `settings are wrong:\n  ${problems.join("\n  ")}`);
  }
  return settings;
}

function createReader(environment: NodeJS.ProcessEnv, problems: string[]): SettingsReader {
  const text = (name: string, fallback?: string): string => {
    const value = environment[name] ?? fallback;
    if (value === undefined || value === "") {
      problems.push(`${name} is not set`);
      return "";
    }
    return value;
  };
  return {
    text,
    choice(name, choices, fallback) {
      const raw = text(name, fallback);
      const found = choices.find((choice) => choice === raw);
      if (raw !== "" && found === undefined) {
        problems.push(`${name} is "${raw}", and must be one of ${choices.join(", ")}`);
      }
      return found ?? choices[0];
    },
    integer(name, { min, max, fallback }) {
      const raw = text(name, fallback === undefined ? undefined : String(fallback));
      const value = Number(raw);
      if (raw !== "" && (!Number.isInteger(value) || value < min || value > max)) {
        problems.push(`${name} is "${raw}", and must be a whole number from ${min} to ${max}`);
      }
      return value;
    },
    address(name, fallback) {
      const raw = text(name, fallback);
      const match = /^(\[[0-9a-f:]+\]|[^:\s]+):(\d{1,5})$/i.exec(raw);
      const port = Number(match?.[2]);
      if (raw !== "" && (match === null || port < 1 || port > 65535)) {
        problems.push(`${name} is "${raw}", and must be host:port`);
      }
      return { host: match?.[1] ?? "", port };
    },
    fileText(name, fallbackPath) {
      const path = text(name, fallbackPath);
      if (path === "") return "";
      try {
        return readFileSync(path, "utf8").replace(/\n$/, "");
      } catch (error) {
        problems.push(`${name} names ${path}, which cannot be read: ${(error as Error).message}`);
        return "";
      }
    },
  };
}
