import { DomainError } from "@claviger/domain-error";

export interface KeyName {
  keyring: string;
  key: string;
}

const partPattern = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const rule =
  "lower-case letters, digits, dots, dashes and underscores, at most 63, beginning and ending with a letter or digit";

/** Claviger's own keys: CA keys, the audit log's. Only its services use them. */
export const systemKeyring = "system";

export function checkKeyringName(name: string): string {
  if (!partPattern.test(name)) {
    throw new DomainError("invalid-argument", `"${printable(name)}" is not a keyring's name`, {
      hint: `a name has ${rule}`,
    });
  }
  return name;
}

/** `keyring/key` */
export function parseKeyName(name: string): KeyName {
  const parts = name.split("/");
  const [keyring = "", key = ""] = parts;
  if (parts.length !== 2 || !partPattern.test(keyring) || !partPattern.test(key)) {
    throw new DomainError("invalid-argument", `"${printable(name)}" is not a key's name`, {
      hint: `a key is named keyring/key; each part has ${rule}`,
    });
  }
  return { keyring, key };
}

export function isKeyringName(name: string): boolean {
  return partPattern.test(name);
}

export function isKeyName(name: string): boolean {
  const parts = name.split("/");
  return parts.length === 2 && parts.every((part) => partPattern.test(part));
}

/** `*`, `keyring` or `keyring/key`. */
export function checkResource(resource: string): string {
  if (resource === "*") return resource;
  if (resource.includes("/")) parseKeyName(resource);
  else checkKeyringName(resource);
  return resource;
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 80)).slice(1, -1);
}
