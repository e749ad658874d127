import type { ConnectionOptions, PeerCertificate, SecureVersion } from "node:tls";
import type { TlsOptions } from "@nats-io/transport-node";
import type { Layout } from "./layout.ts";

/** What the client declares, and what it hands to tls.connect besides. */
type BusTls = TlsOptions & Pick<ConnectionOptions, "checkServerIdentity"> & { minVersion: SecureVersion };

/**
 * How the operator meets the bus: TLS 1.3, our bundle alone, and the bus known by its SPIFFE URI. The
 * bus's certificate can name no host: a DNS name in it would win over the URI when the operator, who
 * holds the same certificate, is mapped to a user.
 */
export function busTls(layout: Layout, trustDomain: string): BusTls {
  const { key, certificate, bundle } = layout.nats.tls;
  const expected = `URI:spiffe://${trustDomain}/claviger/nats`;
  return {
    keyFile: key,
    certFile: certificate,
    caFile: bundle,
    minVersion: "TLSv1.3",
    checkServerIdentity: (_host: string, peer: PeerCertificate) => {
      const names = (peer.subjectaltname ?? "").split(", ");
      if (names.includes(expected)) return undefined;
      return new Error(
        `the bus showed a certificate for ${peer.subjectaltname ?? "nobody"}, not for ${expected}`,
      );
    },
  };
}
