import { usageError } from "./errors.ts";

/** `team=billing` each. */
export function parseLabels(texts: readonly string[], option: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    const name = text.slice(0, at);
    if (at < 1) {
      throw usageError(
        `${option} is ${JSON.stringify(text.slice(0, 80))}`,
        "a label is NAME=VALUE: team=billing",
      );
    }
    if (Object.hasOwn(labels, name)) throw usageError(`the label ${name} is given twice`);
    labels[name] = text.slice(at + 1);
  }
  return labels;
}
