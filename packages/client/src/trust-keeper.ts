import { createHash, generateKeyPairSync } from "node:crypto";
import { isDomainError } from "@claviger/domain-error";
import { serviceIdentity, type TlsIdentity } from "@claviger/identity";
import { AuthorityService } from "@claviger/proto/distribution/v1/authority_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { type Client, createServiceClient } from "./service-client.ts";
import { Transport } from "./transport.ts";

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
const watchAgainMilliseconds = 2000;

/**
 * Keeps this process's trust and certificate current, in the background: takes the trust bundle from
 * distribution, renews when distribution says that another generation of the CA signs or when the
 * certificate's time has come, and stops trusting the bootstrap CA when everybody has renewed.
 * It hears of changes by a stream. No request ever waits for it.
 */
export class TrustKeeper implements AsyncDisposable {
  readonly #options: TrustKeeperOptions;
  readonly #transport: Transport;
  readonly #distribution: Client<typeof CertificateService>;
  readonly #authorities: Client<typeof AuthorityService>;
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #watchTimer: NodeJS.Timeout | undefined;
  #roundsWithoutProgress = 0;
  #isSynchronizing = false;
  #heard = false;
  #renewAt: number | undefined;

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
    this.#authorities = createServiceClient(AuthorityService, this.#transport);
  }

  start(): void {
    void this.#loop();
    void this.#watch();
  }

  /** Each message is a reason to look again, and nothing more. */
  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    try {
      for await (const { spreadSeconds } of this.#authorities.watchTrustBundle({}, { signal })) {
        this.#poke(Math.random() * spreadSeconds * 1000);
      }
    } catch {
      // What is wrong with distribution, the rounds say.
    }
    if (signal.aborted) return;
    const pause = watchAgainMilliseconds * (0.75 + Math.random() / 2);
    this.#watchTimer = setTimeout(() => void this.#watch(), pause);
  }

  #poke(afterMilliseconds: number): void {
    this.#roundsWithoutProgress = 0;
    if (this.#isSynchronizing) this.#heard = true;
    else this.#schedule(afterMilliseconds);
  }

  #schedule(afterMilliseconds: number): void {
    clearTimeout(this.#timer);
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#loop(), afterMilliseconds);
  }

  async #loop(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#isSynchronizing = true;
    this.#heard = false;
    let outcome: Outcome = "waiting";
    try {
      outcome = await this.#synchronize();
    } catch (error) {
      this.#options.onTrouble?.(`trust was not synchronised: ${(error as Error).message}`);
      if (isDomainError(error) && error.retryAfterSeconds !== undefined) {
        this.#isSynchronizing = false;
        // Not all of us at the same moment.
        return this.#schedule(error.retryAfterSeconds * (1000 + Math.random() * 1000));
      }
    }
    this.#isSynchronizing = false;
    this.#roundsWithoutProgress = outcome === "waiting" ? this.#roundsWithoutProgress + 1 : 0;
    const eager = Math.min(eagerMilliseconds * 1.3 ** this.#roundsWithoutProgress, patientMilliseconds);
    this.#schedule(outcome === "settled" && !this.#heard ? this.#untilNext() : eager);
  }

  #untilNext(): number {
    const usual = settledMilliseconds * (0.8 + Math.random() * 0.4);
    return Math.max(eagerMilliseconds, Math.min(usual, this.#renewalTime() - Date.now()));
  }

  /** One round. */
  async #synchronize(): Promise<Outcome> {
    const { identity, onProgress } = this.#options;
    const loaded = identity.trustBundle;
    const answer = await this.#distribution.synchronizeTrust({
      loadedBundleSha256: loaded === "" ? "" : sha256(loaded),
      bootstrapDropped: !identity.trustsBootstrap,
    });
    this.#renewAt = answer.renewAt && Number(answer.renewAt.seconds) * 1000;
    if (answer.trustBundle !== "" && answer.trustBundle !== loaded) {
      identity.replaceTrustBundle(answer.trustBundle);
      onProgress?.("took the trust bundle");
      return "progress";
    }
    if (answer.renewNow || Date.now() > this.#renewalTime()) {
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

  /** What distribution advises, or two thirds of the certificate's life. */
  #renewalTime(): number {
    if (this.#renewAt !== undefined) return this.#renewAt;
    const { validFrom, validTo } = this.#options.identity.leaf;
    const from = Date.parse(validFrom);
    return from + ((Date.parse(validTo) - from) * 2) / 3;
  }

  async #renew(): Promise<void> {
    const { buildCertificateSigningRequest } = await import("@claviger/x509");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const answer = await this.#distribution.renewCertificate({
      certificateSigningRequest: buildCertificateSigningRequest({ privateKey }),
    });
    this.#renewAt = answer.renewAt && Number(answer.renewAt.seconds) * 1000;
    this.#options.identity.replaceCertificate(
      privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      answer.certificateChain,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#watchTimer);
    this.#transport[Symbol.dispose]();
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}
