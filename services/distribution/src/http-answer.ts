import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";

/** Something that is public, and may be kept for a while. */
export interface Artefact {
  type: string;
  maxAgeSeconds: number;
  read: () => Promise<Buffer> | Buffer;
}

export async function answerArtefact(
  artefact: Artefact,
  known: string | undefined,
  method: string,
  response: ServerResponse,
): Promise<void> {
  const body = await artefact.read();
  const tag = `"${createHash("sha256").update(body).digest("base64url")}"`;
  response.setHeader("ETag", tag);
  response.setHeader("Cache-Control", `public, max-age=${artefact.maxAgeSeconds}`);
  if (known === tag) {
    response.writeHead(304).end();
    return;
  }
  response.writeHead(200, { "Content-Type": artefact.type, "Content-Length": body.length });
  response.end(method === "HEAD" ? undefined : body);
}

export function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(text);
}
