import type { Claviger, ClavigerConfig } from "@claviger/client";
import { createOutput, type Output } from "./output.ts";

/** What a command works with. The SDK is loaded when it is first asked for. */
export interface Session extends Output, Disposable {
  /** Clients as the configured identity. */
  connect(): Promise<Claviger>;
  /** Where `claviger.json` is. @throws DomainError where there is none */
  configPath(): Promise<string>;
  config(): Promise<ClavigerConfig>;
  /** A short name as a whole SPIFFE URI: `billing` is a workload, `user/alice` a user. */
  identityUri(name: string): Promise<string>;
  /** Whom a key is said to belong to: `user/alice` and `workload/billing` are identities, everything else is text. */
  ownerText(owner: string): Promise<string>;
}

export function createSession({ json, config }: { json: boolean; config: string | undefined }): Session {
  let claviger: Claviger | undefined;
  const configPath = async (): Promise<string> => {
    const { findConfigFile } = await import("@claviger/client/config-file");
    return findConfigFile({ path: config });
  };
  return {
    ...createOutput(json),
    async connect() {
      const { createClaviger } = await import("@claviger/client");
      claviger ??= createClaviger({ config });
      return claviger;
    },
    configPath,
    async config() {
      const { readConfigFile } = await import("@claviger/client/config-file");
      return readConfigFile(await configPath());
    },
    async identityUri(name) {
      const { identityFromName } = await import("@claviger/identity");
      return identityFromName((await this.config()).trustDomain, name).uri;
    },
    async ownerText(owner) {
      return /^(user|workload)\//.test(owner) ? this.identityUri(owner) : owner;
    },
    [Symbol.dispose]: () => claviger?.close(),
  };
}

const pageSize = 500;

/** Every entry of a list that comes in pages. */
export async function everyPage<Response extends { nextPageToken: string }, Entry>(
  call: (page: { pageSize: number; pageToken: string }) => Promise<Response>,
  entriesOf: (response: Response) => Entry[],
): Promise<Entry[]> {
  const entries: Entry[] = [];
  let pageToken = "";
  do {
    const response = await call({ pageSize, pageToken });
    entries.push(...entriesOf(response));
    pageToken = response.nextPageToken;
  } while (pageToken !== "");
  return entries;
}
