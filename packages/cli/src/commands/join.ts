import type { Addresses } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readText } from "../files.ts";
import type { Session } from "../session.ts";

const tokenLimits = { bytesMax: 8192, what: "a token file" };

interface JoinOptions {
  tokenFile: string;
  out: string;
  addressesFrom?: string;
  bundle?: string;
}

export function registerJoin(identities: Command): void {
  defineCommand<JoinOptions>(identities, {
    usage: "join",
    description: "become the identity that a token names: make a key and fetch its first certificate",
    examples: [
      "identities join --token-file billing.token --out billing",
      "identities join --token-file - --out billing",
      "identities join --token-file /var/run/secrets/tokens/claviger --bundle bundle.pem --addresses-from claviger.json --out billing",
    ],
    options: [
      ["--token-file <file>", "the token of `identities enroll`, or an issuer's; - reads stdin", "required"],
      ["--out <directory>", "where key, certificate, trust bundle and claviger.json go", "required"],
      ["--addresses-from <file>", "a claviger.json to take the services' addresses from"],
      [
        "--bundle <file>",
        "with an issuer's token: the roots that the server has to lead to, from `certs bundle`",
      ],
    ],
    async run(session, _, { tokenFile, out, addressesFrom, bundle }) {
      const { enrollWithToken, parseEnrollmentToken, requireNoIdentity, writeIdentity } = await import(
        "@claviger/client"
      );
      // Whatever can be wrong here is found before the token is spent.
      requireNoIdentity(out);
      const token = (await readText(tokenFile, tokenLimits)).trim();
      if (looksLikeWorkloadToken(token))
        return joinByWorkloadToken(session, token, { out, addressesFrom, bundle });
      const { trustDomain } = parseEnrollmentToken(token);
      const known = await knownAddresses(session, trustDomain, addressesFrom);
      const joined = await enrollWithToken(token);
      const addresses = { ...known, ...joined.addresses };
      writeIdentity(out, { ...joined, addresses });
      const { identity } = joined;
      session.answer(
        { identity, trustDomain, directory: out, addresses },
        () => `this is now ${identity}, in ${out}`,
      );
      if (addresses.storage === undefined) {
        session.notice(
          `hint: ${out}/claviger.json lacks the services' addresses: add them under "addresses"`,
        );
      } else session.notice(`hint: use it with --config ${out}/claviger.json`);
    },
  });
}

/** What Kubernetes and CI systems give: it says nothing of where Claviger is, or whom to trust there. */
function looksLikeWorkloadToken(token: string): boolean {
  return /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/.test(token);
}

async function joinByWorkloadToken(
  session: Session,
  token: string,
  {
    addressesFrom,
    bundle,
    out,
  }: Pick<JoinOptions, "out"> & { addressesFrom: string | undefined; bundle: string | undefined },
): Promise<void> {
  if (addressesFrom === undefined || bundle === undefined) {
    throw usageError(
      "an issuer's token needs --bundle and --addresses-from",
      "it does not say where Claviger is: `claviger certs bundle` gives the one, the installation's claviger.json is the other",
    );
  }
  const { enroll, findConfigFile, readConfigFile, writeIdentity } = await import("@claviger/client");
  const { addresses, trustDomain } = readConfigFile(findConfigFile({ path: addressesFrom }));
  const trustBundle = await readText(bundle, { bytesMax: 256 * 1024, what: "a trust bundle" });
  const enrollmentAddress = addresses.enrollment ?? "";
  const enrolled = await enroll({ enrollmentAddress, trustBundle, trustDomain, secret: token });
  writeIdentity(out, { ...enrolled, trustDomain, addresses });
  const { identity } = enrolled;
  session.answer(
    { identity, trustDomain, directory: out, addresses },
    () => `this is now ${identity}, in ${out}`,
  );
  session.notice(`hint: use it with --config ${out}/claviger.json`);
}

/** The addresses of a claviger.json of the same trust domain: the one named, or else one that is at hand. */
async function knownAddresses(session: Session, trustDomain: string, named?: string): Promise<Addresses> {
  const { findConfigFile, readConfigFile } = await import("@claviger/client/config-file");
  if (named !== undefined) {
    const config = readConfigFile(findConfigFile({ path: named }));
    if (config.trustDomain === trustDomain) return config.addresses;
    throw usageError(
      `${named} is of the trust domain ${config.trustDomain}, and the token of ${trustDomain}`,
      "name a claviger.json of the installation that the token is of",
    );
  }
  try {
    const config = await session.config();
    return config.trustDomain === trustDomain ? config.addresses : {};
  } catch (error) {
    if (error instanceof DomainError && error.kind === "unavailable") return {};
    throw error;
  }
}
