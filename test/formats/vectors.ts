import { readFileSync } from "node:fs";

/** The fields of a vector by their names. */
export type Fields = Readonly<Record<string, string>>;

export function readDocument(): string {
  return readFileSync(new URL("../../docs/formats.md", import.meta.url), "utf8");
}

/**
 * Every block of docs/formats.md that is fenced as `vector NAME`: one field a line, `name = value`; a line
 * that begins with two blanks goes on with the value before it.
 */
export function readVectors(text = readDocument()): ReadonlyMap<string, Fields> {
  const vectors = new Map<string, Fields>();
  for (const [, name = "", body = ""] of text.matchAll(/^```vector ([a-z0-9-]+)\n([\s\S]*?)^```$/gm)) {
    if (vectors.has(name)) throw new Error(`two vectors are named ${name}`);
    vectors.set(name, readFields(name, body));
  }
  return vectors;
}

function readFields(vector: string, body: string): Fields {
  const fields: Record<string, string> = {};
  let last = "";
  for (const line of body.split("\n").slice(0, -1)) {
    const [, name, value = ""] = /^([A-Za-z0-9-]+) =(?: (.*))?$/.exec(line) ?? [];
    if (name !== undefined) {
      if (fields[name] !== undefined) throw new Error(`${vector} has two fields ${name}`);
      fields[name] = value;
      last = name;
    } else if (line.startsWith("  ") && last !== "") fields[last] += line.slice(2);
    else throw new Error(`${vector} has a line that is no field: ${line}`);
  }
  return fields;
}

/** A block that is a whole text, fenced as `text text NAME`; its final newline belongs to it. */
export function readText(name: string, text = readDocument()): string {
  const found = new RegExp(`^\`\`\`text text ${name}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(text)?.[1];
  if (found === undefined) throw new Error(`docs/formats.md has no text ${name}`);
  return found;
}

export function bytes(fields: Fields, name: string): Buffer {
  const hex = value(fields, name);
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new Error(`${name} is not lower-case hexadecimal`);
  return Buffer.from(hex, "hex");
}

export function value(fields: Fields, name: string): string {
  const found = fields[name];
  if (found === undefined) throw new Error(`the vector has no field ${name}`);
  return found;
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString("hex");
}
