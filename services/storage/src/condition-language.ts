import { DomainError } from "@claviger/domain-error";
import { type ASTNode, Environment, type ParseResult } from "@marcbachmann/cel-js";

export const conditionCharactersMax = 2048;
const nodesMax = 200;
const depthMax = 24;
const listElementsMax = 64;
/** A time zone costs as much as fifty other calls. */
const zonesMax = 8;
const compiledMax = 2000;

/** What a condition can ask about, by CEL's type names. Nothing of a key that could change is here but its labels. */
const language = new Environment({
  limits: {
    maxAstNodes: nodesMax,
    maxDepth: depthMax,
    maxListElements: listElementsMax,
    maxMapEntries: 1,
    maxCallArguments: 3,
  },
})
  .registerVariable("now", "google.protobuf.Timestamp")
  .registerVariable("permission", "string")
  .registerVariable("resource", "string")
  .registerVariable({
    name: "caller",
    schema: { id: "string", kind: "string", name: "string", groups: "list<string>" },
  })
  .registerVariable({
    name: "key",
    schema: {
      keyring: "string",
      name: "string",
      purpose: "string",
      algorithm: "string",
      protection: "string",
      exportable: "bool",
      owner: "string",
    },
  });

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

/** When the value of a condition may change though nothing else does. */
export interface TimeDependence {
  /** At these moments, milliseconds since the epoch. */
  readonly moments: readonly number[];
  /** And with each minute, or second, that begins. */
  readonly grain: "none" | "minute" | "second";
}

export interface Condition {
  readonly text: string;
  readonly time: TimeDependence;
  /** The variables in it. */
  readonly asksAbout: ReadonlySet<string>;
  readonly evaluate: ParseResult;
}

const compiled = new Map<string, Condition>();

/** Type-checked and bounded. @throws DomainError `invalid-argument`, which says where */
export function compileCondition(text: string): Condition {
  const known = compiled.get(text);
  if (known !== undefined) return known;
  const condition = compile(text);
  if (compiled.size >= compiledMax) compiled.delete(compiled.keys().next().value!);
  compiled.set(text, condition);
  return condition;
}

function compile(text: string): Condition {
  if (text.length > conditionCharactersMax) {
    throw refused(text, `it has ${text.length} characters, and at most ${conditionCharactersMax} are taken`);
  }
  const evaluate = parse(text);
  const reader = new Reader(text);
  reader.read(evaluate.ast, undefined);
  const { error, type, valid } = evaluate.check();
  if (!valid) throw refused(text, error?.summary ?? "its types do not fit", error?.range);
  if (type !== "bool") throw refused(text, `it is of type ${type}, and a condition is of type bool`);
  if (reader.variables.size === 0) {
    throw refused(text, "it asks about nothing: it is always true, or never");
  }
  const { grain, moments, variables } = reader;
  return { text, evaluate, time: { moments, grain }, asksAbout: variables };
}

function parse(text: string): ParseResult {
  try {
    return language.parse(text);
  } catch (cause) {
    // The parser's recursion is bounded but for chains of "!" and "-".
    if (cause instanceof RangeError) throw refused(text, "it is nested too deeply", undefined, cause);
    const { code, range, summary } = cause as { code?: string; summary?: string; range?: SourceRange };
    const what = code === "limit_exceeded" ? `it is too large: ${summary}` : (summary ?? "it cannot be read");
    throw refused(text, what, range, cause);
  }
}

interface SourceRange {
  readonly start: number;
  readonly end: number;
}

/** Goes through the expression once: refuses what has no bound, and notes what it asks about. */
class Reader {
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
    try {
      language.parse(this.#text.slice(node.range.start, node.range.end))({});
    } catch (cause) {
      throw this.#refused(node, (cause as { summary?: string }).summary ?? "this is no moment", cause);
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

function refused(text: string, why: string, range?: SourceRange, cause?: unknown): DomainError {
  const at =
    range === undefined
      ? ""
      : ` at character ${range.start + 1}, ${range.start >= text.length ? "its end" : `"${excerpt(text, range)}"`}`;
  return new DomainError("invalid-argument", `the condition is refused${at}: ${lowered(why)}`, {
    hint: "conditions ask about now, permission, resource, caller.{id,kind,name,groups} and key.{keyring,name,purpose,algorithm,protection,exportable,owner}; see docs/conditions.md",
    cause,
  });
}

function excerpt(text: string, { end, start }: SourceRange): string {
  const part = text.slice(start, Math.min(Math.max(end, start + 1), start + 40));
  return part.replace(/\p{Cc}/gu, "\ufffd");
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
