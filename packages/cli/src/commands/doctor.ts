import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { asDomainError, exitCodeOfKind } from "../errors.ts";
import { checkHost, type HostCheck, type HostReader } from "../host-checks.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

interface Finding {
  table: string;
  row: string;
  what: string;
  /** Empty where the row is not about one. */
  key: string;
}

/** Looks at the host that it runs on, which should be the services' own, and has the services look at their rows. */
export function register(parent: Command): void {
  defineCommand(parent, {
    usage: "doctor",
    description:
      "what of this host could let keys out, and which rows nobody but Claviger should have written; exits with 5 where something is wrong",
    examples: ["doctor", "doctor --json"],
    async run(session) {
      const stateDirectory = realpathSync(dirname(await session.configPath()));
      const { checks: ofRows, findings } = await checkRows(session);
      const checks = [...checkHost(host, stateDirectory), ...ofRows];
      session.answer({ checks, findings }, () => text(checks, findings));
      const risks = checks.filter(({ state }) => state === "risk");
      for (const { hint, name } of risks) session.notice(`${name}: ${hint}`);
      if (risks.length > 0) process.exitCode = exitCodeOfKind["failed-precondition"];
    },
  });
}

function text(checks: readonly HostCheck[], findings: readonly Finding[]): string {
  const parts = [
    table(
      ["CHECK", "STATE", "DETAIL"],
      checks.map(({ detail, name, state }) => [name, state, detail]),
      "nothing was checked",
    ),
  ];
  // Whole lines: what is cut off here could be the one thing that somebody looks for.
  if (findings.length > 0) {
    const lines = findings.map(({ key, table, what }) => `${table}: ${key === "" ? "" : `${key}: `}${what}`);
    parts.push(lines.join("\n"));
  }
  return parts.join("\n\n");
}

interface RowsAnswer {
  rowsChecked: bigint;
  findings: readonly { table: string; row: string; what: string; key?: string }[];
  done: boolean;
}

/** Each service looks at its own rows: one that is away keeps the others from nothing. */
async function checkRows(session: Session): Promise<{ checks: HostCheck[]; findings: Finding[] }> {
  const claviger = await session.connect();
  const asked: [name: string, answers: () => AsyncIterable<RowsAnswer>][] = [
    ["registry", () => claviger.registry.checkRegistry({})],
    ["distribution's rows", () => claviger.distributionRows.checkRows({})],
    ["rotation's rows", () => claviger.rotationRows.checkRows({})],
  ];
  const checks: HostCheck[] = [];
  const findings: Finding[] = [];
  for (const [name, answers] of asked) {
    const found = await checkRowsOf(session, name, answers);
    checks.push(found.check);
    findings.push(...found.findings);
  }
  return { checks, findings };
}

async function checkRowsOf(
  session: Session,
  name: string,
  answers: () => AsyncIterable<RowsAnswer>,
): Promise<{ check: HostCheck; findings: Finding[] }> {
  const findings: Finding[] = [];
  let rows = 0n;
  try {
    for await (const answer of answers()) {
      rows = answer.rowsChecked;
      findings.push(...answer.findings.map(({ key = "", row, table, what }) => ({ table, row, key, what })));
      if (!answer.done) session.notice(`${name}: ${rows.toLocaleString("en")} rows so far`);
    }
  } catch (error) {
    return { check: { name, state: "unknown", detail: asDomainError(error).message }, findings };
  }
  const looked = `${rows.toLocaleString("en")} rows`;
  if (findings.length === 0) {
    return { check: { name, state: "ok", detail: `${looked}, all as Claviger wrote them` }, findings };
  }
  const check: HostCheck = {
    name,
    state: "risk",
    detail: `${findings.length} of ${looked} are not as Claviger wrote them`,
    hint: "somebody wrote to the database: claviger audit search tells what was really done; restore from a backup",
  };
  return { check, findings };
}

const host: HostReader = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      return undefined;
    }
  },
};
