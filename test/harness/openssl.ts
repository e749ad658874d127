import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Another implementation to compare with, where the machine has one. */
export function findOpenssl(): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((directory) => join(directory, "openssl"))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
