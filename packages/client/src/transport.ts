import { createSecureContext } from "node:tls";
import type { TlsIdentity, TlsMaterial } from "@claviger/identity";
import { type ChannelCredentials, credentials, Client as GrpcClient } from "@grpc/grpc-js";

export interface TransportOptions {
  /** `host:port`. */
  address: string;
  /** This side's certificate; channels follow its renewals. */
  identity: TlsIdentity;
  /** The SPIFFE URI that the other side must have. */
  serverIdentity: string;
}

const messageBytesMax = 4 * 1024 * 1024;
const answerBytesMax = 8 * 1024 * 1024;
/** How long calls that began on a replaced channel may take to end. */
const drainMilliseconds = 60_000;

/** A channel to one service that survives certificate renewal: new calls use the new one, old ones finish. */
export class Transport implements Disposable {
  readonly options: TransportOptions;
  readonly #stopFollowing: () => void;
  #client: GrpcClient;

  constructor(options: TransportOptions) {
    this.options = options;
    this.#client = openChannel(options, options.identity.material);
    this.#stopFollowing = options.identity.onChange((material) => {
      const previous = this.#client;
      this.#client = openChannel(options, material);
      setTimeout(() => previous.close(), drainMilliseconds).unref();
    });
  }

  get client(): GrpcClient {
    return this.#client;
  }

  [Symbol.dispose](): void {
    this.#stopFollowing();
    this.#client.close();
  }
}

function openChannel(options: TransportOptions, material: TlsMaterial): GrpcClient {
  return new GrpcClient(options.address, channelCredentials(material, options.serverIdentity), {
    "grpc.max_receive_message_length": answerBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
    // Our server check looks at the SPIFFE URI; SNI may not be an IP address.
    "grpc.ssl_target_name_override": "localhost",
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.enable_retries": 0,
  });
}

function channelCredentials(material: TlsMaterial, serverIdentity: string): ChannelCredentials {
  const context = createSecureContext({
    ca: material.trustBundle,
    cert: material.certificateChain,
    key: material.key,
    minVersion: "TLSv1.3",
  });
  return credentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, certificate) => {
      const uris = (certificate.subjectaltname ?? "").split(", ").filter((entry) => entry.startsWith("URI:"));
      if (uris.length === 1 && uris[0] === `URI:${serverIdentity}`) return undefined;
      return new Error(`the server is not ${serverIdentity}`);
    },
  });
}
