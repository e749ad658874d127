import { DomainError } from "@claviger/domain-error";

const keyNamePattern = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\/[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

export function isKeyName(name: string): boolean {
  return keyNamePattern.test(name);
}

/** @throws DomainError `invalid-argument`; storage's own rule, asked here so that nothing else is kept. */
export function checkKeyName(name: string): string {
  if (isKeyName(name)) return name;
  throw new DomainError("invalid-argument", "this is not a key's name", {
    hint: "a key is named keyring/key",
  });
}

/** An empty name stands for every key. */
export function checkOptionalKeyName(name: string): string {
  return name === "" ? name : checkKeyName(name);
}
