import type { IncomingMessage, ServerResponse } from "node:http";
import { ocspRequestBytesMax } from "@claviger/x509";
import { refuse } from "../http-answer.ts";
import type { OcspReply, OcspService } from "./ocsp-service.ts";

export const ocspPath = "/v1/ocsp";
const requestType = "application/ocsp-request";
const responseType = "application/ocsp-response";
/** What caches between us and clients may keep: a revocation is seen after that long at the latest. */
const maxAgeSecondsMax = 60;

/** RFC 6960 appendix A: POST with the request as its body, GET with it as base64 in the path. */
export async function serveOcsp(
  service: OcspService,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method === "POST") {
    const [type] = (request.headers["content-type"] ?? "").split(";");
    if (type?.trim().toLowerCase() !== requestType) {
      request.resume();
      return refuse(response, 415, `a request has the type ${requestType}\n`);
    }
    const body = await readBody(request);
    if (body === undefined) {
      response.setHeader("Connection", "close");
      return refuse(response, 413, `a request has at most ${ocspRequestBytesMax} bytes\n`);
    }
    return deliver(await service.reply(body), response);
  }
  if (request.method !== "GET") {
    response.setHeader("Allow", "GET, POST");
    return refuse(response, 405, "OCSP is asked by GET or POST\n");
  }
  const der = decodePath(request.url ?? "");
  if (der === undefined) return refuse(response, 400, `ask ${ocspPath}/ and the base64 of a request\n`);
  const reply = await service.reply(der);
  deliver(reply, response, request.headers["if-none-match"]);
}

/** Nothing where it is too long; what is too long is not read. */
function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > ocspRequestBytesMax) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > ocspRequestBytesMax) {
        request.pause();
        resolve(undefined);
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

/** Clients leave the slashes of base64 as they are, or escape them; both are read. */
function decodePath(url: string): Buffer | undefined {
  const encoded = url.slice(ocspPath.length + 1);
  if (encoded === "" || encoded.length > ocspRequestBytesMax * 2) return undefined;
  try {
    const text = decodeURIComponent(encoded);
    return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : undefined;
  } catch {
    return undefined;
  }
}

function deliver({ answer, body }: OcspReply, response: ServerResponse, known?: string): void {
  const headers: Record<string, string | number> = {
    "Content-Type": responseType,
    "Content-Length": body.length,
  };
  if (answer === undefined) headers["Cache-Control"] = "no-store";
  else {
    // RFC 5019 section 6.2.
    const leftSeconds = Math.floor((answer.nextUpdate - Date.now()) / 1000);
    const maxAge = Math.max(0, Math.min(leftSeconds, maxAgeSecondsMax));
    headers["Cache-Control"] = `public, max-age=${maxAge}, no-transform, must-revalidate`;
    headers.ETag = answer.etag;
    headers["Last-Modified"] = new Date(answer.thisUpdate).toUTCString();
    headers.Expires = new Date(answer.nextUpdate).toUTCString();
    if (known === answer.etag) {
      delete headers["Content-Length"];
      response.writeHead(304, headers).end();
      return;
    }
  }
  response.writeHead(200, headers).end(body);
}
