import { acceptTicket, requestSessionKey, type SessionKey } from "@claviger/client";
import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { readInput, secretMode, writeOutput } from "../files.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";

const ticketLimits = {
  bytesMax: 256 * 1024,
  what: "a ticket",
  kindWhereLarger: "integrity" as const,
  hint: "it is not a ticket of Claviger's",
};

export function register(program: Command): void {
  const sessions = program
    .command("sessions")
    .description("keys for two identities that never shared one, and who may have them");
  registerOpen(sessions);
  registerAccept(sessions);
  registerRules(sessions);
}

function registerOpen(sessions: Command): void {
  defineCommand<{ outKey: string; outTicket: string; lifetime?: string }>(sessions, {
    usage: "open <peer>",
    description: "a fresh key for this identity and a peer, and the ticket with which the peer opens it",
    examples: [
      "sessions open ledger --out-key session.key --out-ticket ledger.ticket",
      "sessions open ledger --out-key session.key --out-ticket ledger.ticket --lifetime 2m",
    ],
    options: [
      ["--out-key <file>", "the key, 32 bytes, readable by you alone", "required"],
      ["--out-ticket <file>", "the ticket, for the peer; only the peer can open it", "required"],
      ["--lifetime <time>", "10 seconds to an hour; 10 minutes by default"],
    ],
    async run(session, positional, { lifetime, outKey, outTicket }) {
      const peer = await session.identityUri(argument(positional));
      const lifetimeSeconds = lifetime === undefined ? 0 : parseDuration(lifetime, "--lifetime");
      const claviger = await session.connect();
      using issued = await requestSessionKey(claviger, { peer, lifetimeSeconds });
      writeOutput(outKey, issued.key.expose(), { mode: secretMode });
      writeOutput(outTicket, issued.ticket);
      answer(session, issued, { outKey, outTicket });
      session.notice(`hand ${outTicket} to ${shortIdentity(peer)}, by any way: nobody else can open it`);
    },
  });
}

function registerAccept(sessions: Command): void {
  defineCommand<{ ticket: string; outKey: string }>(sessions, {
    usage: "accept",
    description: "the key of a ticket that was made for this identity; works without any service, and once",
    examples: ["sessions accept --ticket ledger.ticket --out-key session.key"],
    options: [
      ["--ticket <file>", "what the initiator's `sessions open` wrote", "required"],
      ["--out-key <file>", "the key, 32 bytes, readable by you alone", "required"],
    ],
    async run(session, _, { outKey, ticket }) {
      const text = (await readInput(ticket, ticketLimits)).toString("utf8");
      const claviger = await session.connect();
      using accepted = await acceptTicket(claviger, text);
      writeOutput(outKey, accepted.key.expose(), { mode: secretMode });
      answer(session, accepted, { outKey });
    },
  });
}

function answer(session: Session, key: SessionKey, written: { outKey: string; outTicket?: string }): void {
  const { initiator, notAfter, notBefore, peer } = key;
  session.answer({ initiator, peer, notBefore, notAfter, ...written }, () =>
    properties([
      ["initiator", shortIdentity(initiator)],
      ["peer", shortIdentity(peer)],
      ["until", notAfter.toISOString()],
      ["key in", written.outKey],
      ["ticket in", written.outTicket],
    ]),
  );
}

const peerOption = [
  "--peer <identities>",
  "billing, user/alice, or all below a name: workload/shop/*",
  "required",
] as const;

function registerRules(sessions: Command): void {
  defineCommand<{ peer: string }>(sessions, {
    usage: "allow <initiator>",
    description: "let an identity, or all below a name, open sessions with another",
    examples: [
      "sessions allow billing --peer ledger",
      "sessions allow 'workload/shop/*' --peer 'workload/bank/*'",
    ],
    options: [peerOption],
    async run(session, positional, { peer }) {
      const { sessions: service } = await session.connect();
      const { rule } = await service.allowSessions({ initiator: argument(positional), peer });
      const made = present(rule, "the rule");
      session.answer(
        made,
        () => `${shortIdentity(made.initiator)} may open sessions with ${shortIdentity(made.peer)}`,
      );
    },
  });
  defineCommand<{ peer: string }>(sessions, {
    usage: "forbid <initiator>",
    description: "take such a rule back; tickets that were given out stay good until they end",
    examples: ["sessions forbid billing --peer ledger"],
    options: [peerOption],
    async run(session, positional, { peer }) {
      const initiator = argument(positional);
      await (await session.connect()).sessions.forbidSessions({ initiator, peer });
      session.answer(
        { initiator, peer },
        () => `no rule lets ${initiator} open sessions with ${peer} any more`,
      );
    },
  });
  defineCommand(sessions, {
    usage: "rules",
    description: "who may open sessions with whom",
    examples: ["sessions rules"],
    async run(session) {
      const { sessions: service } = await session.connect();
      const rules = await everyPage(
        (page) => service.listSessionRules(page),
        (page) => page.rules,
      );
      session.answer({ rules }, () =>
        table(
          ["INITIATOR", "PEER", "BY", "SINCE"],
          rules.map(({ createdAt, createdBy, initiator, peer }) => [
            shortIdentity(initiator),
            shortIdentity(peer),
            shortIdentity(createdBy),
            shortTime(createdAt),
          ]),
          "no rules, so nobody may: claviger sessions allow INITIATOR --peer PEER",
        ),
      );
    },
  });
}
