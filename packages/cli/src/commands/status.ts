import type { Claviger, ServiceName } from "@claviger/client";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { asDomainError, exitCodeOfKind } from "../errors.ts";
import { type Output, table } from "../output.ts";
import { relativeTime, shortTime, type TimestampLike } from "../plain.ts";

const deadlineMilliseconds = 5_000;

interface ServiceReport {
  name: ServiceName;
  address: string | undefined;
  /** "ok", or the kind of error that asking it ended in. */
  state: string;
  version?: string;
  certificateIssuer?: string;
  certificateNotAfter?: TimestampLike | undefined;
  startedAt?: TimestampLike | undefined;
  problem?: string;
  hint?: string | undefined;
}

export interface DependencyReport {
  name: string;
  state: string;
  version: string;
  detail: string;
}

interface Asked {
  service: ServiceReport;
  dependencies: readonly DependencyReport[];
}

/** Ascending: the worst of what the services say about one dependency is what counts. */
const dependencyStates = ["ok", "degraded", "unavailable"];

export function register(parent: Command): void {
  defineCommand(parent, {
    usage: "status",
    description: "what runs, and how it is; exits with 6 when something is unavailable",
    examples: ["status", "status --json"],
    async run(session) {
      const { serviceNames } = await import("@claviger/client/config-file");
      const claviger = await session.connect();
      const asked = await Promise.all(serviceNames.map((name) => ask(claviger, name)));
      const services = asked.map(({ service }) => service);
      const dependencies = mergeDependencies(asked.flatMap((answer) => answer.dependencies));
      show(session, services, dependencies);
      process.exitCode = exitCodeFor(services, dependencies);
    },
  });
}

async function ask(claviger: Claviger, name: ServiceName): Promise<Asked> {
  const address = claviger.addresses[name];
  try {
    const { dependencies, ...status } = await claviger.status(name, { deadlineMilliseconds });
    const { version, certificateIssuer, certificateNotAfter, startedAt } = status;
    const service = {
      name,
      address,
      state: "ok",
      version,
      certificateIssuer,
      certificateNotAfter,
      startedAt,
    };
    return { service, dependencies: dependencies.map(withoutType) };
  } catch (error) {
    const { kind, message, hint } = asDomainError(error);
    const state = kind === "deadline-exceeded" ? "unavailable" : kind;
    return { service: { name, address, state, problem: message, hint }, dependencies: [] };
  }
}

function withoutType({ name, state, version, detail }: DependencyReport): DependencyReport {
  return { name, state, version, detail };
}

/** PostgreSQL, NATS and the HSM once each, though several services report them: the worst report stands. */
export function mergeDependencies(reports: readonly DependencyReport[]): DependencyReport[] {
  const rank = ({ state }: DependencyReport): number => {
    const index = dependencyStates.indexOf(state);
    return index === -1 ? dependencyStates.length : index;
  };
  const worst = new Map<string, DependencyReport>();
  for (const report of reports) {
    const known = worst.get(report.name);
    if (known === undefined || rank(report) > rank(known)) worst.set(report.name, report);
  }
  return [...worst.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function exitCodeFor(services: readonly ServiceReport[], dependencies: readonly DependencyReport[]): number {
  const states = [...services, ...dependencies].map(({ state }) => state);
  if (states.includes("unavailable")) return exitCodeOfKind.unavailable;
  const refused = states.find((state) => Object.hasOwn(exitCodeOfKind, state));
  return refused === undefined ? 0 : exitCodeOfKind[refused as keyof typeof exitCodeOfKind];
}

function show(output: Output, services: ServiceReport[], dependencies: DependencyReport[]): void {
  output.answer({ services, dependencies }, () => {
    const serviceRows = services.map((service) => [
      service.name,
      service.state,
      service.address,
      service.version,
      service.certificateIssuer,
      service.certificateNotAfter === undefined
        ? ""
        : `${shortTime(service.certificateNotAfter)} (${relativeTime(service.certificateNotAfter)})`,
    ]);
    const dependencyRows = dependencies.map(({ name, state, version, detail }) => [
      name,
      state,
      version,
      detail,
    ]);
    const headers = ["SERVICE", "STATE", "ADDRESS", "VERSION", "CA", "CERTIFICATE UNTIL"];
    const parts = [table(headers, serviceRows, "")];
    if (dependencyRows.length > 0) {
      parts.push(table(["DEPENDENCY", "STATE", "VERSION", "DETAIL"], dependencyRows, ""));
    }
    return parts.join("\n\n");
  });
  const problems = new Map(services.map(({ problem, hint }) => [hint ?? problem, { problem, hint }]));
  for (const { problem, hint } of problems.values()) {
    if (problem === undefined) continue;
    output.notice(`error: ${problem}`);
    if (hint !== undefined) output.notice(`hint: ${hint}`);
  }
}
