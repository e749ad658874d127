import type { Transaction } from "@claviger/database";
import type { AuditedWork } from "@claviger/rpc";
import { type Lifetime, Rounds } from "@claviger/service";
import { BoundedWork } from "./bounded-work.ts";
import type { CaRotation } from "./ca-rotation.ts";
import type { OcspPreparing } from "./ocsp/preparing.ts";
import type { RevocationLists } from "./revocation-lists.ts";

const rotationLooksMilliseconds = 1000;
const listsMilliseconds = 60_000;
const preparingMilliseconds = 30_000;

/** What goes on by itself; the rotation's, which a request may have look at once, is given back. */
export function startRounds(options: {
  rotation: CaRotation;
  lists: RevocationLists;
  preparing: OcspPreparing;
  warn: (what: string) => void;
  lifetime: Lifetime;
}): Rounds {
  const { lifetime, lists, preparing, rotation, warn } = options;
  const begin = (everyMilliseconds: number, waiting: string, work: () => Promise<boolean>): Rounds => {
    const rounds = new Rounds({ everyMilliseconds, work, waiting, onTrouble: warn });
    lifetime.onStop(waiting, () => rounds[Symbol.asyncDispose]());
    return rounds;
  };
  begin(listsMilliseconds, "revocation lists wait", () => lists.refresh().then(() => false)).poke();
  begin(preparingMilliseconds, "OCSP answers wait", () => preparing.page()).poke();
  return begin(rotationLooksMilliseconds, "the CAs wait", () => rotation.step());
}

/** Of a CloudEvent. An event carries no authority: the worst that a false one does is a look at the database. */
export function subjectOf(event: Uint8Array): string {
  try {
    const { subject } = JSON.parse(Buffer.from(event).toString("utf8")) as { subject?: unknown };
    return typeof subject === "string" ? subject : "";
  } catch {
    return "";
  }
}

/** Fewer than the database's connections, so that what goes on by itself has some. */
const inTurnOptions = { atOnceMax: 12, waitMillisecondsMax: 8000, waitingMax: 5000 };

/** Requests in turn, in front of the database: ten thousand renewals at once wait here, or are told when to come. */
export function inTurn(work: AuditedWork<Transaction>): AuditedWork<Transaction> {
  const bounded = new BoundedWork(inTurnOptions);
  return {
    run: (action, record) => bounded.run(() => work.run(action, record)),
    runUnrecorded: (action) => bounded.run(() => work.runUnrecorded(action)),
    keep: (record) => work.keep(record),
  };
}
