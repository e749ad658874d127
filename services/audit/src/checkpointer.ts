import type { Client } from "@claviger/client";
import type { Database } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import {
  ecdsaKeyId,
  formatCheckpointText,
  formatNote,
  formatVerifierKey,
  openCheckpoint,
  parseVerifierKey,
  rootCoordinates,
  rootFrom,
} from "@claviger/merkle";
import type { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { type CheckpointRow, insertCheckpoint, newestCheckpoint } from "./store/checkpoints.ts";
import { readNodes, readTreeSize } from "./store/tree.ts";

export interface CheckpointerOptions {
  database: Database;
  generator: Client<typeof CheckpointService>;
  origin: string;
  now: () => Date;
  onTrouble: (what: string) => void;
}

const pauseMilliseconds = 500;

/** Signs the tree's head after it has grown, at most twice a second, and at once when a proof needs it. */
export class Checkpointer implements AsyncDisposable {
  readonly #options: CheckpointerOptions;
  #timer: NodeJS.Timeout | undefined;
  #signing: Promise<CheckpointRow | undefined> | undefined;
  #closed = false;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
  }

  /** The tree has grown. */
  wake(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.sign().catch((error: Error) => {
        this.#options.onTrouble(`the checkpoint waits: ${error.message}`);
        this.wake();
      });
    }, pauseMilliseconds);
  }

  /** The newest checkpoint, made now where the tree has outgrown it. Undefined while the log is empty. */
  sign(): Promise<CheckpointRow | undefined> {
    this.#signing ??= this.#sign().finally(() => {
      this.#signing = undefined;
    });
    return this.#signing;
  }

  /** A checkpoint that covers `size` leaves or more. @throws DomainError `unavailable` */
  async covering(size: number): Promise<CheckpointRow> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const checkpoint = await this.sign();
      if (checkpoint !== undefined && checkpoint.size >= size) return checkpoint;
    }
    throw new DomainError("unavailable", "no checkpoint covers this record yet", {
      hint: "try again in a second",
    });
  }

  async #sign(): Promise<CheckpointRow | undefined> {
    const { database, generator, now, origin } = this.#options;
    const head = await database.transaction(async (tx) => {
      const size = await readTreeSize(tx);
      const newest = await newestCheckpoint(tx);
      if (size === 0 || newest?.size === size) return { newest };
      const root = rootFrom(size, await readNodes(tx, rootCoordinates(size)));
      if (newest === undefined) return { size, root };
      const earlierRoot = rootFrom(newest.size, await readNodes(tx, rootCoordinates(newest.size)));
      return { size, root, newest, earlierRoot };
    });
    if (head.root === undefined) return head.newest;
    const { root, size } = head;
    const { signature, subjectPublicKeyInfo } = await generator.signCheckpoint({
      origin,
      size: BigInt(size),
      root,
    });
    const text = formatCheckpointText({ origin, size, root });
    const verifierKey = formatVerifierKey(origin, subjectPublicKeyInfo);
    if (head.newest !== undefined) requireContinuation(head.newest, head.earlierRoot, verifierKey, origin);
    const keyId = ecdsaKeyId(subjectPublicKeyInfo);
    const note = formatNote(text, [{ name: origin, keyId, signature }]);
    // Never hand out what would not verify.
    openCheckpoint(note, [parseVerifierKey(verifierKey)], origin);
    const row = { size, note, verifierKey, signedAt: now() };
    await database.transaction((tx) => insertCheckpoint(tx, row));
    return row;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#signing?.catch(() => undefined);
  }
}

/**
 * Whoever rewrote the tree in the database gets no signature for it: what was signed last must still be
 * there, under the key that signs now.
 * @throws DomainError `integrity`
 */
function requireContinuation(
  newest: CheckpointRow,
  earlierRoot: Uint8Array | undefined,
  verifierKey: string,
  origin: string,
): void {
  const { checkpoint } = openCheckpoint(newest.note, [parseVerifierKey(verifierKey)], origin);
  const same = earlierRoot !== undefined && Buffer.from(checkpoint.root).equals(earlierRoot);
  if (checkpoint.size === newest.size && same) return;
  throw new DomainError("integrity", `the log no longer begins with the ${newest.size} records signed last`, {
    hint: "the database was changed outside Claviger: keep it as evidence, and compare with earlier checkpoints",
  });
}
