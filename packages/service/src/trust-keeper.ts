import { createHash, generateKeyPairSync } from "node:crypto";
import { type Client, createServiceClient, Transport } from "@claviger/client";
import { serviceIdentity, type TlsIdentity } from "@claviger/identity";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { buildCertificateSigningRequest } from "@claviger/x509";

export interface TrustKeeperOptions {
  identity: TlsIdentity;
  trustDomain: string;
  distributionAddress: string;
  onProgress?: (what: string) => void;
  onTrouble?: (what: string) => void;
}

type Outcome = "progress" | "waiting" | "settled";

const eagerMilliseconds = 200;
const settledMilliseconds = 10 * 60_000;
/** Neither a part that is missing for long nor trouble makes us ask more often than this. */
const patientMilliseconds = 5000;

/**
 * Keeps this process's trust and certificate current, in the background: takes the trust bundle from
 * distribution, renews when distribution says that everybody trusts the new CA or when two thirds of
 * the certificate's life have passed, and stops trusting the bootstrap CA when everybody has renewed.
 * No request ever waits for it.
 */
export class TrustKeeper implements AsyncDisposable {
  readonly #options: TrustKeeperOptions;
  readonly #transport: Transport;
  readonly #distribution: Client<typeof CertificateService>;
  #timer: NodeJS.Timeout | undefined;
  #roundsWithoutProgress = 0;
  #closed = false;

  constructor(options: TrustKeeperOptions) {
    this.#options = options;
    this.#transport = new Transport({
      address: options.distributionAddress,
      identity: options.identity,
      serverIdentity: serviceIdentity(options.trustDomain, "distribution").uri,
    });
    this.#distribution = createServiceClient(CertificateService, this.#transport, {
      deadlineMilliseconds: 3000,
    });
  }

  start(): void {
    void this.#loop();
  }

  async #loop(): Promise<void> {
    if (this.#closed) return;
    let outcome: Outcome = "waiting";
    try {
      outcome = await this.#synchronize();
    } catch (error) {
      this.#options.onTrouble?.(`trust was not synchronised: ${(error as Error).message}`);
    }
    this.#roundsWithoutProgress = outcome === "waiting" ? this.#roundsWithoutProgress + 1 : 0;
    const waitMilliseconds =
      outcome === "settled"
        ? settledMilliseconds * (0.8 + Math.random() * 0.4)
        : Math.min(eagerMilliseconds * 1.3 ** this.#roundsWithoutProgress, patientMilliseconds);
    if (!this.#closed) this.#timer = setTimeout(() => void this.#loop(), waitMilliseconds);
  }

  /** One round. */
  async #synchronize(): Promise<Outcome> {
    const { identity, onProgress } = this.#options;
    const loaded = identity.trustBundle;
    const answer = await this.#distribution.synchronizeTrust({
      loadedBundleSha256: loaded === "" ? "" : sha256(loaded),
      bootstrapDropped: !identity.trustsBootstrap,
    });
    if (answer.trustBundle !== "" && answer.trustBundle !== loaded) {
      identity.replaceTrustBundle(answer.trustBundle);
      onProgress?.("took the trust bundle");
      return "progress";
    }
    if (answer.renewNow || pastTwoThirds(identity)) {
      await this.#renew();
      onProgress?.("renewed its certificate");
      return "progress";
    }
    if (answer.dropBootstrap && identity.trustsBootstrap) {
      identity.dropBootstrap();
      onProgress?.("no longer trusts the bootstrap CA");
      return "progress";
    }
    return answer.settled ? "settled" : "waiting";
  }

  async #renew(): Promise<void> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const answer = await this.#distribution.renewCertificate({
      certificateSigningRequest: buildCertificateSigningRequest({ privateKey }),
    });
    this.#options.identity.replaceCertificate(
      privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      answer.certificateChain,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#transport[Symbol.dispose]();
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

function pastTwoThirds(identity: TlsIdentity): boolean {
  const from = Date.parse(identity.leaf.validFrom);
  const to = Date.parse(identity.leaf.validTo);
  return Date.now() > from + ((to - from) * 2) / 3;
}
