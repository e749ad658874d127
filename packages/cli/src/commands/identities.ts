import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { writeOutput } from "../files.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage } from "../session.ts";
import { registerJoin } from "./join.ts";
import { registerIssuers } from "./token-issuers.ts";

const secretMode = 0o600;

export function register(program: Command): void {
  const identities = program.command("identities").description("admit identities, and end them");
  registerEnroll(identities);
  registerJoin(identities);
  registerList(identities);
  registerShow(identities);
  registerRevoke(identities);
  registerIssuers(identities);
}

function registerEnroll(identities: Command): void {
  defineCommand<{ ttl?: string; out?: string }>(identities, {
    usage: "enroll <name>",
    description: "make a one-time token with which an identity fetches its first certificate",
    examples: ["identities enroll billing --out billing.token", "identities enroll user/alice --ttl 15m"],
    options: [
      ["--ttl <duration>", "how long the token can be used, 1m to 7d; 1h by default"],
      ["--out <file>", "where to write the token, readable by you alone; stdout by default"],
    ],
    async run(session, positional, { ttl, out }) {
      const lifetimeSeconds = ttl === undefined ? 0 : parseDuration(ttl, "--ttl");
      const claviger = await session.connect();
      const answer = await claviger.identities.createEnrollmentToken({
        name: argument(positional),
        lifetimeSeconds,
      });
      const { identity, token, expiresAt } = answer;
      const toFile = out !== undefined && out !== "-";
      if (toFile) writeOutput(out, `${token}\n`, { mode: secretMode });
      session.answer(toFile ? { identity, expiresAt, out } : { identity, expiresAt, token }, () =>
        toFile ? "" : token,
      );
      session.notice(
        [
          `this token makes its holder ${identity}, once, until ${shortTime(expiresAt)}`,
          "bring it there as a file, over a channel that you trust, and run there:",
          "  claviger identities join --token-file FILE --out DIRECTORY",
        ].join("\n"),
      );
    },
  });
}

function registerList(identities: Command): void {
  defineCommand(identities, {
    usage: "list",
    description: "every identity, and until when its certificate holds",
    examples: ["identities list"],
    async run(session) {
      const claviger = await session.connect();
      const found = await everyPage(
        (page) => claviger.identities.listIdentities(page),
        (response) => response.identities,
      );
      session.answer({ identities: found }, () => {
        const rows = found.map(({ identity, state, createdAt, certificateNotAfter }) => [
          shortIdentity(identity),
          state,
          shortTime(createdAt),
          shortTime(certificateNotAfter),
        ]);
        return table(["IDENTITY", "STATE", "SINCE", "CERTIFICATE UNTIL"], rows, "no identities");
      });
    },
  });
}

function registerShow(identities: Command): void {
  defineCommand(identities, {
    usage: "show <name>",
    description: "one identity",
    examples: ["identities show billing", "identities show user/alice"],
    async run(session, positional) {
      const { identity } = await (await session.connect()).identities.getIdentity({
        name: argument(positional),
      });
      const found = present(identity, "the identity");
      session.answer(found, () =>
        properties([
          ["identity", found.identity],
          ["state", found.state],
          ["since", shortTime(found.createdAt)],
          ["certificate", found.certificateSerial],
          ["until", shortTime(found.certificateNotAfter)],
        ]),
      );
    },
  });
}

function registerRevoke(identities: Command): void {
  defineCommand<{ reason?: string }>(identities, {
    usage: "revoke <name>",
    description: "end an identity: every service refuses it and its certificates from now on",
    examples: ["identities revoke billing --reason keyCompromise"],
    options: [["--reason <R>", "an RFC 5280 reason name; unspecified by default"]],
    async run(session, positional, { reason = "unspecified" }) {
      const claviger = await session.connect();
      const answer = await claviger.identities.revokeIdentity({ name: argument(positional), reason });
      const identity = present(answer.identity, "the identity");
      const { certificatesRevoked } = answer;
      session.answer(
        { identity, certificatesRevoked },
        () =>
          `${identity.identity} is ${identity.state}; certificates revoked with it: ${certificatesRevoked}`,
      );
    },
  });
}
