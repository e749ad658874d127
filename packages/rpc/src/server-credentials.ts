import type { TlsIdentity, TlsMaterial } from "@claviger/identity";
import { ServerCredentials } from "@grpc/grpc-js";

/**
 * TLS 1.3 with a client certificate, following the identity's renewals while open connections live
 * on. A reload replaces the whole context, so `minVersion` stands in it each time (facts: leave it
 * out and TLS 1.2 is back).
 */
export class MutualTlsServerCredentials extends ServerCredentials {
  constructor(identity: TlsIdentity) {
    super(
      {
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: "TLSv1.3",
        // A resumed session is not verified again: keep none to speak of.
        sessionTimeout: 1,
        handshakeTimeout: 10_000,
      },
      contextOptions(identity.material),
    );
    identity.onChange((material) => this.updateSecureContextOptions(contextOptions(material)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** For the enrolment listener alone: the server is authenticated, the caller not yet. */
export class ServerOnlyTlsCredentials extends ServerCredentials {
  constructor(identity: TlsIdentity) {
    super(
      { requestCert: false, minVersion: "TLSv1.3", handshakeTimeout: 10_000 },
      contextOptions(identity.material),
    );
    identity.onChange((material) => this.updateSecureContextOptions(contextOptions(material)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOptions(material: TlsMaterial) {
  return {
    ca: material.trustBundle,
    cert: material.certificateChain,
    key: material.key,
    minVersion: "TLSv1.3",
  } as const;
}
