import { canonicalJson } from "@claviger/audit-record";
import type { ColumnCipher } from "@claviger/column-cipher";
import { DomainError } from "@claviger/domain-error";
import type { Registry } from "./registry.ts";
import { replaceSearch } from "./store/key-search.ts";
import type { KeyRow } from "./store/keys.ts";

/** What people say of a key. It decides nothing. */
export interface KeyDetails {
  /** A SPIFFE URI. */
  createdBy: string;
  /** Whoever answers for the key: a team, a person, an identity. */
  owner: string;
  description: string;
  labels: Readonly<Record<string, string>>;
}

const labelsMax = 32;
const ownerCharactersMax = 200;
const descriptionCharactersMax = 1000;
const labelNamePattern = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/;
const labelValueCharactersMax = 128;
/** How many labels a search may ask for. */
const searchedLabelsMax = 8;

export function concealDetails(columns: ColumnCipher, keyId: string, details: KeyDetails): Buffer {
  const { createdBy, description, labels, owner } = details;
  return columns.conceal(placeOf(keyId), canonicalJson({ createdBy, description, labels, owner }));
}

export function detailsOf(columns: ColumnCipher, { details, id, owner }: KeyRow): KeyDetails {
  // A row from before, which nobody has written since: its owner was whoever made it.
  if (details === null) return { createdBy: owner, owner, description: "", labels: {} };
  return JSON.parse(columns.reveal(placeOf(id), details)) as KeyDetails;
}

function placeOf(keyId: string) {
  return { column: "keys.details", row: keyId };
}

/** @throws DomainError `invalid-argument` */
export function checkDetails({ description, labels, owner }: Omit<KeyDetails, "createdBy">): void {
  checkText("an owner", owner, ownerCharactersMax);
  checkText("a description", description, descriptionCharactersMax);
  if (Object.keys(labels).length > labelsMax) {
    throw new DomainError("invalid-argument", `a key has at most ${labelsMax} labels`);
  }
  for (const [name, value] of Object.entries(labels)) {
    checkLabelName(name);
    checkText(`the value of label ${name}`, value, labelValueCharactersMax);
  }
}

export function checkLabelName(name: string): void {
  if (labelNamePattern.test(name)) return;
  throw new DomainError("invalid-argument", `${JSON.stringify(name.slice(0, 80))} is not a label's name`, {
    hint: "a label is NAME=VALUE; a name has at most 63 lower-case letters, digits, dots, slashes, dashes and underscores",
  });
}

function checkText(what: string, text: string, charactersMax: number): void {
  if (text.length > charactersMax) {
    throw new DomainError("invalid-argument", `${what} has at most ${charactersMax} characters`);
  }
  // Control characters would write on the terminals of those who look.
  if (/\p{Cc}/u.test(text)) {
    throw new DomainError("invalid-argument", `${what} has no line breaks and no control characters`);
  }
}

/** By these a key is found. */
function searchDigests(columns: ColumnCipher, { labels, owner }: KeyDetails): Buffer[] {
  const ofLabels = Object.entries(labels).map(([name, value]) => labelDigest(columns, name, value));
  return owner === "" ? ofLabels : [...ofLabels, ownerDigest(columns, owner)];
}

function labelDigest(columns: ColumnCipher, name: string, value: string): Buffer {
  return columns.digest("key_search.label", `${name}=${value}`);
}

function ownerDigest(columns: ColumnCipher, owner: string): Buffer {
  return columns.digest("key_search.owner", owner);
}

export interface KeySearch {
  labels: Readonly<Record<string, string>>;
  /** Empty: whoever owns it. */
  owner: string;
}

/** What a search looks for; empty where it asks for nothing. @throws DomainError `invalid-argument` */
export function soughtDigests(columns: ColumnCipher, { labels, owner }: KeySearch): Buffer[] {
  if (Object.keys(labels).length > searchedLabelsMax) {
    throw new DomainError("invalid-argument", `a search is for at most ${searchedLabelsMax} labels`);
  }
  for (const name of Object.keys(labels)) checkLabelName(name);
  return searchDigests(columns, { createdBy: "", description: "", labels, owner });
}

/** Whether a key is what was searched for: by its own details, since the index is not sealed. */
export function isSought({ labels, owner }: KeyDetails, sought: KeySearch): boolean {
  const fits = ([name, value]: [string, string]): boolean => labels[name] === value;
  return Object.entries(sought.labels).every(fits) && (sought.owner === "" || sought.owner === owner);
}

/** Writes what a key is found by. */
export async function indexDetails(registry: Registry, key: KeyRow): Promise<void> {
  const digests = searchDigests(registry.columns, detailsOf(registry.columns, key));
  await replaceSearch(registry.tx, key, digests);
}
