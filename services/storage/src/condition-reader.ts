import type { DomainError } from "@claviger/domain-error";
import type { ASTNode } from "@marcbachmann/cel-js";
import { language, refused } from "./condition-environment.ts";

/** A time zone costs as much as fifty other calls. */
const zonesMax = 8;

/**
 * Of CEL what costs no more than the expression is long: no macros that go through lists, no bindings, no regular
 * expressions. So every node is evaluated once at most, and the bound on their number bounds the work.
 */
const operators: ReadonlySet<string> = new Set(
  "value id . [] list ?: || && !_ -_ != == in + - * / % < <= > >=".split(" "),
);
const functions: ReadonlySet<string> = new Set(["timestamp", "duration", "size"]);
/** Of a timestamp in whole minutes: time zones differ by those. */
const minuteMethods: ReadonlySet<string> = new Set([
  "getFullYear",
  "getMonth",
  "getDate",
  "getDayOfMonth",
  "getDayOfWeek",
  "getDayOfYear",
  "getHours",
  "getMinutes",
]);
const methods: ReadonlySet<string> = new Set([
  ...minuteMethods,
  "getSeconds",
  "startsWith",
  "endsWith",
  "contains",
  "size",
]);
const comparisons: ReadonlySet<string> = new Set(["<", "<=", ">", ">=", "==", "!="]);

const durationPattern = /^[+-]?(\d{1,9}(\.\d{1,9})?(h|m|s|ms|us|ns)){1,6}$/;

/** When the value of a condition may change though nothing else does. */
export interface TimeDependence {
  /** At these moments, milliseconds since the epoch. */
  readonly moments: readonly number[];
  /** And with each minute, or second, that begins. */
  readonly grain: "none" | "minute" | "second";
}

/** Goes through the expression once: refuses what has no bound, and notes what it asks about. */
export class ConditionReader {
  readonly variables = new Set<string>();
  readonly moments: number[] = [];
  grain: TimeDependence["grain"] = "none";
  readonly #text: string;
  #zones = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(node: ASTNode, parent: ASTNode | undefined): void {
    if (!operators.has(node.op) && node.op !== "call" && node.op !== "rcall") {
      throw this.#refused(node, `${node.op} is not for conditions`);
    }
    if (node.op === "id") this.#variable(node.args, parent);
    else if (node.op === "value") this.#literal(node);
    else if (node.op === "call") this.#call(node, node.args[0], node.args[1]);
    else if (node.op === "rcall") this.#method(node, node.args[0], node.args[1], node.args[2]);
    else for (const child of childrenOf(node)) this.read(child, node);
  }

  #variable(name: string, parent: ASTNode | undefined): void {
    this.variables.add(name);
    if (name === "now") this.#clock(parent);
  }

  /** What is done to `now` says when that can come out differently. */
  #clock(parent: ASTNode | undefined): void {
    if (parent?.op === "rcall" && minuteMethods.has(parent.args[0])) {
      if (this.grain === "none") this.grain = "minute";
      return;
    }
    const moment = parent !== undefined && comparisons.has(parent.op) ? momentBeside(parent) : undefined;
    if (moment === undefined) this.grain = "second";
    else this.moments.push(moment);
  }

  #literal(node: ASTNode): void {
    if (node.args instanceof Uint8Array) throw this.#refused(node, "bytes are not for conditions");
  }

  #call(node: ASTNode, name: string, args: ASTNode[]): void {
    if (!functions.has(name)) {
      throw this.#refused(node, `there is no function ${name} here: there are ${[...functions].join(", ")}`);
    }
    if (name !== "size") this.#constant(node, args);
    for (const arg of args) this.read(arg, node);
  }

  /** `timestamp` and `duration` of what is written here, so that it is looked at now and not at a decision. */
  #constant(node: ASTNode, args: ASTNode[]): void {
    const [literal] = args;
    if (literal?.op !== "value" || typeof literal.args !== "string") {
      throw this.#refused(node, "timestamp and duration take a text that is written here");
    }
    const [name] = node.op === "call" ? node.args : [""];
    const exact = name === "timestamp" ? isMoment(literal.args) : durationPattern.test(literal.args);
    if (!exact) {
      const example = name === "timestamp" ? "2026-12-31T18:00:00Z" : "1h30m";
      throw this.#refused(node, `${name} takes a text such as "${example}"`);
    }
    try {
      language.parse(this.#text.slice(node.range.start, node.range.end))({});
    } catch (cause) {
      throw this.#refused(node, (cause as { summary?: string }).summary ?? `this is no ${name}`, cause);
    }
  }

  #method(node: ASTNode, name: string, receiver: ASTNode, args: ASTNode[]): void {
    if (!methods.has(name)) {
      throw this.#refused(node, `there is no method ${name} here: there are ${[...methods].join(", ")}`);
    }
    if (name.startsWith("get")) for (const zone of args) this.#zone(zone);
    this.read(receiver, node);
    for (const arg of args) this.read(arg, node);
  }

  #zone(node: ASTNode): void {
    this.#zones += 1;
    if (this.#zones > zonesMax) throw this.#refused(node, `it has more than ${zonesMax} time zones`);
    try {
      if (node.op !== "value" || typeof node.args !== "string") throw new RangeError("not a text");
      new Intl.DateTimeFormat("en", { timeZone: node.args });
    } catch (cause) {
      throw this.#refused(node, 'this is not a time zone such as "Europe/Berlin"', cause);
    }
  }

  #refused(node: ASTNode, why: string, cause?: unknown): DomainError {
    return refused(this.#text, why, node.range, cause);
  }
}

/** RFC 3339, and a day that there is: JavaScript takes the 30th of February for a day in March. */
function isMoment(text: string): boolean {
  const match = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.exec(text);
  if (match === null) return false;
  const [year, month, day] = match.slice(1, 4).map(Number) as [number, number, number];
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

function childrenOf(node: ASTNode): ASTNode[] {
  return [node.args].flat().filter((part): part is ASTNode => typeof part === "object" && part !== null);
}

/** Of a comparison with `timestamp("…")`, that moment. */
function momentBeside(comparison: ASTNode): number | undefined {
  const other = childrenOf(comparison).find(({ op }) => op === "call");
  if (other?.op !== "call" || other.args[0] !== "timestamp") return undefined;
  const [literal] = other.args[1];
  const moment = literal?.op === "value" ? Date.parse(String(literal.args)) : Number.NaN;
  return Number.isNaN(moment) ? undefined : moment;
}
