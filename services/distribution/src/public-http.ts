import { createHash } from "node:crypto";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { Authorities } from "./authorities.ts";
import type { RevocationLists } from "./revocation-lists.ts";

/** The second exception of invariant 2: read-only, for what is public anyway. */
interface Artefact {
  type: string;
  maxAgeSeconds: number;
  read: () => Promise<Buffer> | Buffer;
}

const connectionsMax = 256;
const requestMilliseconds = 10_000;

export function createPublicHttp(options: {
  authorities: Authorities;
  lists: RevocationLists;
  onTrouble: (what: string) => void;
}): Server {
  const { authorities, lists, onTrouble } = options;
  const certificate = (name: "root" | "issuing"): Artefact => ({
    type: "application/pkix-cert",
    maxAgeSeconds: 3600,
    read: () => authorities[name].row.certificate,
  });
  const list = (name: "root" | "issuing"): Artefact => ({
    type: "application/pkix-crl",
    maxAgeSeconds: 60,
    read: () => lists.current(name),
  });
  const artefacts = new Map<string, Artefact>([
    [
      "/v1/bundle.pem",
      {
        type: "application/pem-certificate-chain",
        maxAgeSeconds: 300,
        read: () => Buffer.from(authorities.trustBundle),
      },
    ],
    ["/v1/ca/root.cer", certificate("root")],
    ["/v1/ca/issuing.cer", certificate("issuing")],
    ["/v1/crl/root.crl", list("root")],
    ["/v1/crl/issuing.crl", list("issuing")],
  ]);
  const server = createServer(
    { requestTimeout: requestMilliseconds, maxHeaderSize: 8192 },
    (request, response) => {
      const artefact = artefacts.get(request.url ?? "");
      if (request.method !== "GET" && request.method !== "HEAD")
        return refuse(response, 405, "only GET is served here\n");
      if (artefact === undefined) {
        return refuse(response, 404, `there is ${[...artefacts.keys()].join(", ")}\n`);
      }
      answer(artefact, request.headers["if-none-match"], request.method, response).catch((error: Error) => {
        onTrouble(`a public artefact could not be served: ${error.message}`);
        refuse(response, 503, "not available right now\n");
      });
    },
  );
  server.maxConnections = connectionsMax;
  return server;
}

async function answer(
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

function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(text);
}
