import type { Claviger } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import type { Session } from "../session.ts";

const lookMilliseconds = 1000;

export function registerAuthorities(certs: Command): void {
  defineCommand(certs, {
    usage: "authorities",
    description: "the CAs, each generation with its state",
    examples: ["certs authorities"],
    async run(session) {
      const { authorities } = await (await session.connect()).authorities.listAuthorities({});
      session.answer({ authorities }, () => {
        const rows = authorities.map((ca) => [
          `${ca.name}@${ca.generation}`,
          ca.state,
          ca.algorithm,
          String(ca.certificates),
          shortTime(ca.notAfter).slice(0, 10),
        ]);
        return table(["CA", "STATE", "SIGNS WITH", "VALID CERTIFICATES", "UNTIL"], rows, "no CAs");
      });
    },
  });
}

interface RotateOptions {
  status?: boolean;
  revokeSuperseded?: boolean;
  wait?: boolean;
}

export function registerRotateCa(certs: Command): void {
  defineCommand<RotateOptions>(certs, {
    usage: "rotate-ca",
    description: "take every CA to its next generation; goes on by itself, and shows how far it is",
    examples: [
      "certs rotate-ca",
      "certs rotate-ca --status",
      "certs rotate-ca --revoke-superseded",
      "certs rotate-ca --wait",
    ],
    options: [
      ["--status", "begin nothing; show the one that is under way, or the last one"],
      ["--revoke-superseded", "end old certificates that were renewed, instead of waiting for their end"],
      ["--wait", "follow it to its end"],
    ],
    async run(session, _, options) {
      const claviger = await session.connect();
      if (options.revokeSuperseded === true) await revokeSuperseded(session, claviger);
      else if (options.status !== true && options.wait !== true) await begin(claviger);
      if (options.wait === true) await follow(session, claviger);
      const { rotation } = await claviger.authorities.getAuthorityRotation({});
      session.answer(rotation === undefined ? {} : { rotation }, () =>
        rotation === undefined ? "the CAs were never rotated" : rotationText(rotation),
      );
    },
  });
}

/** Where one is under way already, that one is shown. */
async function begin({ authorities }: Claviger): Promise<void> {
  const { rotation } = await authorities.getAuthorityRotation({});
  if (rotation !== undefined && rotation.stage !== "done") return;
  const known = (await authorities.listAuthorities({})).authorities;
  const generation = Math.max(...known.map((ca) => ca.generation)) + 1;
  await authorities.startAuthorityRotation({ generation });
}

async function revokeSuperseded(session: Session, { authorities }: Claviger): Promise<void> {
  let total = 0;
  for (let revoked = 1; revoked > 0; total += revoked) {
    // With the last of them the rotation goes on, and nothing is retiring any more.
    const done = (error: unknown) => {
      if (total > 0 && isDomainError(error, "failed-precondition")) return { certificatesRevoked: 0 };
      throw error;
    };
    revoked = (await authorities.revokeSupersededCertificates({}).catch(done)).certificatesRevoked;
  }
  session.notice(`revoked as superseded: ${total}`);
}

async function follow(session: Session, { authorities }: Claviger): Promise<void> {
  for (let said = ""; ; ) {
    const { rotation } = await authorities.getAuthorityRotation({});
    if (rotation === undefined || rotation.stage === "done") return;
    const now = stageText(rotation);
    if (now !== said) session.notice(now);
    said = now;
    await new Promise((resolve) => setTimeout(resolve, lookMilliseconds));
  }
}

type Rotation = NonNullable<Awaited<ReturnType<Claviger["authorities"]["getAuthorityRotation"]>>["rotation"]>;

function stageText(rotation: Rotation): string {
  const waiting = rotation.waitingFor.length === 0 ? "" : `; waits for ${rotation.waitingFor.join(", ")}`;
  const words: Record<string, string> = {
    making: "keys and certificates are being made",
    distributing: "the new root goes into every bundle, before anything under it signs",
    renewing: `the new generation signs; old certificates that are still valid: ${rotation.oldCertificates}`,
    dropping: "the old root leaves every bundle",
    done: "done",
  };
  return `${words[rotation.stage] ?? rotation.stage}${waiting}`;
}

const namedMax = 10;

function rotationText(rotation: Rotation): string {
  const missing = rotation.withoutBundle.slice(0, namedMax).map(shortIdentity);
  const more = rotation.withoutBundleCount - missing.length;
  return properties([
    ["generation", String(rotation.generation)],
    ["stage", `${rotation.stage}: ${stageText(rotation)}`],
    ["since", shortTime(rotation.requestedAt)],
    ["ended", shortTime(rotation.endedAt)],
    [
      "old certificates",
      rotation.oldCertificates === 0
        ? "none"
        : `${rotation.oldCertificates}, of which ${rotation.oldCertificatesWithoutSuccessor} have no successor`,
    ],
    ["the last ends", shortTime(rotation.lastOldCertificateEnds)],
    [
      "without the new bundle",
      missing.length === 0 ? "nobody" : `${missing.join(", ")}${more > 0 ? ` and ${more} more` : ""}`,
    ],
  ]);
}

export function registerDistrust(certs: Command): void {
  defineCommand(certs, {
    usage: "distrust <ca@generation>",
    description: "trust a CA no more, from now on, and revoke everything that it issued",
    examples: ["certs distrust root@1", "certs distrust issuing@1"],
    async run(session, positional) {
      const [, name = "", generation = ""] = /^([a-z0-9-]+)@(\d{1,9})$/.exec(argument(positional)) ?? [];
      if (name === "") throw usageError("name the CA and its generation: root@1, issuing@1");
      const claviger = await session.connect();
      const answer = await claviger.authorities.distrustAuthority({ name, generation: Number(generation) });
      const authority = present(answer.authority, "the CA");
      session.answer(
        authority,
        () => `${name}@${generation} is ${authority.state}; what it issued is being revoked`,
      );
    },
  });
}
