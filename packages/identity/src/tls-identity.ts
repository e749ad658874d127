import { createPrivateKey, X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";

/** What one end of a TLS connection needs, PEM. */
export interface TlsMaterial {
  key: string;
  /** Leaf first. */
  certificateChain: string;
  /** Every root trusted now, the bootstrap CA among them while it is. */
  trustBundle: string;
}

const files = { key: "key.pem", chain: "cert.pem", bundle: "bundle.pem", bootstrap: "bootstrap.pem" };

/**
 * The TLS material of this process, in a directory of its own: `key.pem`, `cert.pem`, `bundle.pem`,
 * and `bootstrap.pem` while the bootstrap CA is trusted. Servers and channels listen for `change`.
 */
export class TlsIdentity {
  readonly directory: string;
  readonly #changes = new EventEmitter<{ change: [TlsMaterial] }>();
  #material: TlsMaterial;
  #leaf: X509Certificate;

  private constructor(directory: string, material: TlsMaterial) {
    this.directory = directory;
    this.#material = material;
    this.#leaf = new X509Certificate(material.certificateChain);
    this.#changes.setMaxListeners(100);
  }

  /** @throws DomainError `failed-precondition` where a file is missing or cannot be read. */
  static load(directory: string): TlsIdentity {
    return new TlsIdentity(directory, readMaterial(directory));
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  get leaf(): X509Certificate {
    return this.#leaf;
  }

  /** Lower-case hexadecimal, as certificates are named everywhere in Claviger. */
  get serial(): string {
    return this.#leaf.serialNumber.toLowerCase();
  }

  get trustsBootstrap(): boolean {
    return existsSync(join(this.directory, files.bootstrap));
  }

  /** The bundle without the bootstrap CA; empty before the first one arrived. */
  get trustBundle(): string {
    const path = join(this.directory, files.bundle);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  onChange(listener: (material: TlsMaterial) => void): () => void {
    this.#changes.on("change", listener);
    return () => this.#changes.off("change", listener);
  }

  replaceTrustBundle(pem: string): void {
    writeAtomically(join(this.directory, files.bundle), pem, 0o644);
    this.#reload();
  }

  /** The pair is written key first under temporary names, so that a crash leaves the old pair whole. */
  replaceCertificate(key: string, chain: string): void {
    writeFileSync(join(this.directory, `${files.key}.next`), key, { mode: 0o600 });
    writeFileSync(join(this.directory, `${files.chain}.next`), chain, { mode: 0o644 });
    promoteNextPair(this.directory);
    this.#reload();
  }

  dropBootstrap(): void {
    rmSync(join(this.directory, files.bootstrap), { force: true });
    this.#reload();
  }

  /** Reads the files again, which somebody else on this host may have replaced. */
  reload(): void {
    this.#reload();
  }

  #reload(): void {
    this.#material = readMaterial(this.directory);
    this.#leaf = new X509Certificate(this.#material.certificateChain);
    this.#changes.emit("change", this.#material);
  }
}

function readMaterial(directory: string): TlsMaterial {
  const read = (name: string): string => {
    try {
      return readFileSync(join(directory, name), "utf8");
    } catch (cause) {
      throw new DomainError("failed-precondition", `${join(directory, name)} cannot be read`, {
        hint: "on the host, `claviger init` makes what is missing; elsewhere enrol this identity again",
        cause,
      });
    }
  };
  promoteNextPair(directory);
  const bundles = [files.bundle, files.bootstrap].filter((name) => existsSync(join(directory, name)));
  return {
    key: read(files.key),
    certificateChain: read(files.chain),
    trustBundle: bundles.map(read).join("\n"),
  };
}

/**
 * Certificate first, then key: while `key.pem.next` stands, a half-done replacement is finished by
 * whoever reads the directory next.
 */
function promoteNextPair(directory: string): void {
  const at = (name: string): string => join(directory, name);
  const [nextKey, nextChain] = [at(`${files.key}.next`), at(`${files.chain}.next`)];
  if (!existsSync(nextKey)) return;
  // Without a next chain, either it was promoted and the key was not yet, or it was never written.
  const chain = existsSync(nextChain) ? nextChain : at(files.chain);
  if (matches(readFileSync(nextKey, "utf8"), readFileSync(chain, "utf8"))) {
    if (chain === nextChain) renameSync(nextChain, at(files.chain));
    renameSync(nextKey, at(files.key));
  } else {
    rmSync(nextChain, { force: true });
    rmSync(nextKey);
  }
}

function matches(key: string, chain: string): boolean {
  try {
    return new X509Certificate(chain).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function writeAtomically(path: string, content: string, mode: number): void {
  writeFileSync(`${path}.part`, content, { mode });
  renameSync(`${path}.part`, path);
}
