import type { Claviger } from "./claviger.ts";
import { TrustKeeper, type TrustKeeperOptions } from "./trust-keeper.ts";

/**
 * Keeps an identity's files current while this process runs: the trust bundle follows the CAs, the certificate
 * is renewed when its time has come or when another generation of the CA signs. Channels follow, and so does
 * whoever listens to `claviger.identity.onChange`. Dispose of it at the end.
 */
export function keepTrust(
  { addresses, identity, trustDomain }: Claviger,
  notices: Pick<TrustKeeperOptions, "onProgress" | "onTrouble"> = {},
): AsyncDisposable {
  const keeper = new TrustKeeper({
    identity,
    trustDomain,
    distributionAddress: addresses.distribution ?? "",
    ...notices,
  });
  keeper.start();
  return keeper;
}
