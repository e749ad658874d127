import type { ParseResult } from "@marcbachmann/cel-js";
import { language, refused, type SourceRange } from "./condition-environment.ts";
import { ConditionReader, type TimeDependence } from "./condition-reader.ts";

export const conditionCharactersMax = 2048;
const compiledMax = 2000;

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
  const strange = /[^\P{C}\n]/u.exec(text);
  if (strange !== null) {
    const range = { start: strange.index, end: strange.index + 1 };
    throw refused(text, "it has a character that cannot be seen", range);
  }
  const evaluate = parse(text);
  const reader = new ConditionReader(text);
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
