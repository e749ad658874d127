import { createInterface } from "node:readline";
import { checkAlgorithm, checkProtection } from "../algorithm-choice.ts";
import { algorithmRow } from "../algorithms.ts";
import type { Hsm } from "../hsm/port.ts";
import type { MaterialEnvelope } from "../material-envelope.ts";
import type { DrillProof, DrillReport, Proof } from "./drill-report.ts";
import { openStored, proveByUse, type StoredMaterial } from "./proof-of-use.ts";

export type KeyFindings = Pick<DrillReport, "bound" | "proofs" | "failures" | "failed">;

interface Group {
  algorithm: string;
  protection: string;
  versions: number;
  begun: number;
  used: number;
  by: Proof;
}

/** As many as the HSM has sessions: more would only wait. */
const atOnceMax = 8;
const failuresKept = 50;
const whatCharactersMax = 200;
const progressMilliseconds = 1000;

/** From the least that is known of a key to the most: what is said of many is true of each. */
const strength: readonly Proof[] = ["none-secret", "binding", "digest", "public-key"];

/**
 * Every version with material: each is found to be what the HSM bound, and of those that are alike (keyring, generation
 * of its key, algorithm, protection) some are used. In memory there are groups, not versions.
 */
export class DrilledKeys {
  readonly #hsm: Hsm;
  readonly #usesPerGroup: number;
  readonly #onProgress: (message: string) => void;
  readonly #keyringKeys = new Map<string, string>();
  readonly #groups = new Map<string, Group>();
  readonly #failures: { of: string; what: string }[] = [];
  #failed = 0;
  #bound = 0;
  #saidAt = performance.now();

  constructor(hsm: Hsm, usesPerGroup: number, onProgress: (message: string) => void) {
    this.#hsm = hsm;
    this.#usesPerGroup = usesPerGroup;
    this.#onProgress = onProgress;
  }

  /** Lines as `keyRows` of the launcher writes them: generations first, then versions. */
  async readAll(source: NodeJS.ReadableStream): Promise<void> {
    const underWay = new Set<Promise<void>>();
    for await (const line of createInterface({ input: source })) {
      const [kind, ...fields] = line.split("\t");
      if (kind === "generation") {
        const [keyring, generation, id] = fields as [string, string, string];
        this.#keyringKeys.set(`${keyring}\n${generation}`, id);
        continue;
      }
      const one: Promise<void> = this.#look(fields).finally(() => underWay.delete(one));
      underWay.add(one);
      if (underWay.size >= atOnceMax) await Promise.race(underWay);
    }
    await Promise.all(underWay);
  }

  findings(): KeyFindings {
    const proofs = new Map<string, DrillProof>();
    for (const { algorithm, begun: _, by, protection, used, versions } of this.#groups.values()) {
      const name = `${algorithm}\n${protection}\n${by}`;
      const known = proofs.get(name);
      if (known === undefined) proofs.set(name, { algorithm, protection, versions, used, by });
      else {
        known.versions += versions;
        known.used += used;
      }
    }
    return {
      bound: this.#bound,
      proofs: [...proofs.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, proof]) => proof),
      failures: this.#failures,
      failed: this.#failed,
    };
  }

  async #look(fields: readonly string[]): Promise<void> {
    const [name = "", version = ""] = fields;
    try {
      const stored = readStored(fields);
      const envelope = await openStored(this.#hsm, stored);
      this.#bound += 1;
      await this.#useSome(stored, envelope);
    } catch (error) {
      this.#fail(`${name}@${version}`, (error as Error).message);
    }
    if (performance.now() - this.#saidAt < progressMilliseconds) return;
    this.#saidAt = performance.now();
    this.#onProgress(`${this.#bound.toLocaleString("en")} versions of keys are what the HSM bound so far`);
  }

  async #useSome(stored: StoredMaterial, envelope: MaterialEnvelope): Promise<void> {
    const { algorithm, name, protection } = stored.binding;
    const kind = envelope.wrapped.length === 0 ? "public" : String(envelope.keyringGeneration);
    const place = [name.split("/")[0], kind, algorithm, protection, stored.digest === undefined].join("\n");
    const group = this.#groups.get(place) ?? {
      algorithm,
      protection,
      versions: 0,
      begun: 0,
      used: 0,
      by: "public-key" as const,
    };
    this.#groups.set(place, group);
    group.versions += 1;
    if (group.begun >= this.#usesPerGroup) return;
    group.begun += 1;
    const by = await proveByUse(this.#hsm, stored, envelope, (keyring, generation) =>
      this.#keyringKeys.get(`${keyring}\n${generation}`),
    );
    group.used += 1;
    if (strength.indexOf(by) < strength.indexOf(group.by)) group.by = by;
  }

  #fail(of: string, what: string): void {
    this.#failed += 1;
    if (this.#failures.length < failuresKept) {
      this.#failures.push({ of, what: what.slice(0, whatCharactersMax) });
    }
  }
}

/** @throws DomainError where an algorithm is none of ours */
function readStored(fields: readonly string[]): StoredMaterial {
  const [
    name = "",
    version,
    keyId = "",
    algorithmName = "",
    protection = "",
    exportable,
    material = "",
    digest = "",
  ] = fields;
  const algorithm = checkAlgorithm(algorithmName);
  return {
    binding: {
      name,
      keyId,
      version: Number(version),
      algorithm,
      purpose: algorithmRow(algorithm).purpose,
      protection: checkProtection(protection),
      exportable: exportable === "t",
    },
    material: Buffer.from(material, "hex"),
    digest: digest === "" ? undefined : Buffer.from(digest, "hex"),
  };
}
