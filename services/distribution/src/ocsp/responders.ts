import { createHash } from "node:crypto";
import type { CertificateSigner } from "@claviger/x509";
import type { Authority } from "../authorities.ts";
import { ensureKey, type GeneratorClients, type SystemKey, signerOf } from "../authority-keys.ts";
import { issueCertificate } from "../issuance.ts";
import { profiles } from "../profiles.ts";
import type { Registry } from "../registry.ts";
import { newestOfAuthority } from "../store/certificates.ts";

const keyName = "system/ca-ocsp";
const profile = "ocsp";
export const responderLifetimeSeconds = 7 * 86_400;
/** A certificate that ends sooner is followed by another. */
const renewBeforeMilliseconds = 3 * 86_400_000;

/** The delegated responder of one CA (RFC 6960 section 4.2.2.2): one key, and a short-lived certificate of each CA. */
export interface Responder {
  /** DER. */
  certificate: Uint8Array;
  notAfter: Date;
  keyName: string;
  keyVersion: number;
  signer: CertificateSigner;
}

export interface RespondersOptions {
  inTransaction: <T>(work: (registry: Registry) => Promise<T>) => Promise<T>;
  generator: GeneratorClients;
  trustDomain: string;
  publicHttpAddress: string;
}

export class Responders {
  readonly #options: RespondersOptions;
  readonly #bySlug = new Map<string, Responder>();
  readonly #making = new Map<string, Promise<Responder>>();
  #key: SystemKey | undefined;

  constructor(options: RespondersOptions) {
    this.#options = options;
  }

  /** The CA's responder; a new certificate for it where the one that it has nears its end. */
  async of(authority: Authority): Promise<Responder> {
    const known = this.#bySlug.get(authority.slug);
    if (known !== undefined && known.notAfter.getTime() - Date.now() > renewBeforeMilliseconds) return known;
    const making = this.#making.get(authority.slug) ?? this.#make(authority);
    this.#making.set(authority.slug, making);
    try {
      return await making;
    } catch (error) {
      // While the generator is away, the one that it has does until its end.
      if (known !== undefined && known.notAfter.getTime() > Date.now()) return known;
      throw error;
    } finally {
      this.#making.delete(authority.slug);
    }
  }

  async #make(authority: Authority): Promise<Responder> {
    const { generator, inTransaction } = this.#options;
    this.#key ??= await ensureKey(generator, {
      name: keyName,
      algorithm: "ecdsa-p256",
      reason: "key of the OCSP responder",
    });
    const key = this.#key;
    const row = await inTransaction((registry) => this.#certificateOf(registry, authority, key));
    const { subjectPublicKeyInfo } = key;
    const responder: Responder = {
      certificate: row.certificate,
      notAfter: row.notAfter,
      keyName: key.name,
      keyVersion: key.version,
      signer: signerOf(generator, key.name, key.version, {
        algorithm: "ecdsa-p256-sha256",
        subjectPublicKeyInfo,
      }),
    };
    this.#bySlug.set(authority.slug, responder);
    return responder;
  }

  async #certificateOf(registry: Registry, authority: Authority, { subjectPublicKeyInfo }: SystemKey) {
    const publicKeySha256 = createHash("sha256").update(subjectPublicKeyInfo).digest();
    const { generation, name } = authority.row;
    // Two replicas make one, not two.
    await registry.tx.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`ocsp ${authority.slug}`]);
    const known = await newestOfAuthority(registry.tx, registry.sealer, {
      authority: name,
      generation,
      publicKeySha256,
      profile,
    });
    if (known !== undefined && known.notAfter.getTime() - registry.now.getTime() > renewBeforeMilliseconds) {
      return known;
    }
    const { row } = await issueCertificate(registry, authority, this.#options.publicHttpAddress, {
      profile,
      form: profiles.ocsp,
      subject: { commonName: "Claviger OCSP responder", organization: this.#options.trustDomain },
      subjectAltNames: [],
      identity: undefined,
      subjectPublicKeyInfo,
      lifetimeSeconds: responderLifetimeSeconds,
      requestedBy: "claviger/distribution",
      freshKey: false,
    });
    return row;
  }
}
