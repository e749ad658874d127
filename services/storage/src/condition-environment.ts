import { DomainError } from "@claviger/domain-error";
import { Environment } from "@marcbachmann/cel-js";

const nodesMax = 200;
const depthMax = 24;
const listElementsMax = 64;

/** What a condition can ask about, by CEL's type names. Of a key that could change, its labels and owner: whoever changes them has access decided anew. */
export const language = new Environment({
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
      labels: "map<string, string>",
    },
  });

export interface SourceRange {
  readonly start: number;
  readonly end: number;
}

/** Says where. */
export function refused(text: string, why: string, range?: SourceRange, cause?: unknown): DomainError {
  const at =
    range === undefined
      ? ""
      : ` at character ${range.start + 1}, ${range.start >= text.length ? "its end" : `"${excerpt(text, range)}"`}`;
  return new DomainError("invalid-argument", `the condition is refused${at}: ${lowered(why)}`, {
    hint: "conditions ask about now, permission, resource, caller.{id,kind,name,groups} and key.{keyring,name,purpose,algorithm,protection,exportable,owner,labels}; see docs/conditions.md",
    cause,
  });
}

function excerpt(text: string, { end, start }: SourceRange): string {
  const part = text.slice(start, Math.min(Math.max(end, start + 1), start + 40));
  return part.replace(/\p{C}/gu, "\ufffd");
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
