import { DomainError } from "@claviger/domain-error";

const pageSizeDefault = 100;
const pageSizeMax = 1000;
const tokenCharactersMax = 1024;

/** How many entries a page gets. @throws DomainError `invalid-argument` past the bound */
export function pageSize(requested: number): number {
  if (requested > pageSizeMax) {
    throw new DomainError("invalid-argument", `a page has at most ${pageSizeMax} entries`);
  }
  return requested || pageSizeDefault;
}

/** Page tokens are the last entry's own name: they need no secret, since they grant nothing. */
export function pageToken(last: string | undefined): string {
  return last === undefined ? "" : Buffer.from(last, "utf8").toString("base64url");
}

export function readPageToken(token: string): string {
  if (token.length > tokenCharactersMax || !/^[A-Za-z0-9_-]*$/.test(token)) {
    throw new DomainError("invalid-argument", "this page_token is not one that Claviger gave");
  }
  return Buffer.from(token, "base64url").toString("utf8");
}

/** The same for numbered entries; 0 where there is no token. */
export function readNumberToken(token: string): number {
  const text = readPageToken(token) || "0";
  if (!/^\d{1,15}$/.test(text)) {
    throw new DomainError("invalid-argument", "this page_token is not one that Claviger gave");
  }
  return Number(text);
}
