import type { Command } from "commander";
import { parseChoice, parseMoment, parseWholeNumber } from "../arguments.ts";
import { recordsTable, recordView } from "../audit-view.ts";
import { defineCommand } from "../define-command.ts";
import type { Session } from "../session.ts";
import { registerProof } from "./audit-proof.ts";
import { registerCheckpoint, registerVerify } from "./audit-verify.ts";

const limitDefault = "50";
const limitMax = 100_000;
const pageSizeMax = 1000;

export function register(program: Command): void {
  const audit = program.command("audit").description("what happened, with proof");
  registerSearch(audit);
  registerProof(audit);
  registerCheckpoint(audit);
  registerVerify(audit);
}

interface SearchOptions {
  who?: string;
  key?: string;
  method?: string;
  outcome?: string;
  since?: string;
  until?: string;
  limit?: string;
}

function registerSearch(audit: Command): void {
  defineCommand<SearchOptions>(audit, {
    usage: "search",
    description: "what happened, newest first",
    examples: [
      "audit search --key payments/cards --since 1h",
      "audit search --who billing --outcome refused --json",
    ],
    options: [
      ["--who <identity>", "who did it: billing, user/alice or a whole SPIFFE ID"],
      ["--key <name>", "on which keyring or keyring/key"],
      ["--method <name>", "such as Encrypt"],
      ["--outcome <outcome>", "allowed, refused or failed"],
      ["--since <moment>", "2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 1h"],
      ["--until <moment>", "the same"],
      ["--limit <n>", `how many records; ${limitDefault} by default`],
    ],
    async run(session, _, options) {
      const records = await search(session, options);
      session.answer({ records }, () => recordsTable(records));
    },
  });
}

async function search(session: Session, options: SearchOptions): Promise<ReturnType<typeof recordView>[]> {
  const limit = parseWholeNumber(options.limit ?? limitDefault, "--limit", { min: 1, max: limitMax });
  const outcome =
    options.outcome === undefined
      ? ""
      : parseChoice(options.outcome, "--outcome", ["allowed", "refused", "failed"] as const);
  const since = options.since === undefined ? undefined : parseMoment(options.since, "--since");
  const until = options.until === undefined ? undefined : parseMoment(options.until, "--until");
  const actor = options.who === undefined ? "" : await session.identityUri(options.who);
  const claviger = await session.connect();
  const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
  const question = {
    actor,
    resource: options.key ?? "",
    method: options.method ?? "",
    outcome,
    ...(since === undefined ? {} : { since: timestampFromDate(since) }),
    ...(until === undefined ? {} : { until: timestampFromDate(until) }),
  };
  const records: ReturnType<typeof recordView>[] = [];
  let pageToken = "";
  do {
    const pageSize = Math.min(pageSizeMax, limit - records.length);
    const page = await claviger.audit.searchRecords({ ...question, pageSize, pageToken });
    records.push(...page.records.map(recordView));
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && records.length < limit);
  return records;
}
