import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Authorities } from "./authorities.ts";
import { type Artefact, answerArtefact, refuse } from "./http-answer.ts";
import { ocspPath, serveOcsp } from "./ocsp/ocsp-http.ts";
import type { OcspService } from "./ocsp/ocsp-service.ts";
import type { RevocationLists } from "./revocation-lists.ts";
import { spiffeBundle } from "./spiffe-bundle.ts";

/** The second exception of invariant 2: read-only, for what is public anyway. */
export interface PublicHttpOptions {
  authorities: Authorities;
  lists: RevocationLists;
  ocsp: OcspService;
  onTrouble: (what: string) => void;
}

const connectionsMax = 256;
const requestMilliseconds = 10_000;

export function createPublicHttp(options: PublicHttpOptions): Server {
  const server = createServer(
    { requestTimeout: requestMilliseconds, headersTimeout: requestMilliseconds, maxHeaderSize: 8192 },
    (request, response) => {
      serve(options, request, response).catch((error: Error) => {
        options.onTrouble(`a public artefact could not be served: ${error.message}`);
        refuse(response, 503, "not available right now\n");
      });
    },
  );
  server.maxConnections = connectionsMax;
  return server;
}

async function serve(
  options: PublicHttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = "", url = "" } = request;
  if (url === ocspPath || url.startsWith(`${ocspPath}/`)) return serveOcsp(options.ocsp, request, response);
  if (method !== "GET" && method !== "HEAD") return refuse(response, 405, "only GET is served here\n");
  const artefact = artefactAt(options, url);
  if (artefact === undefined) return refuse(response, 404, `there is ${paths(options).join(", ")}\n`);
  await answerArtefact(artefact, request.headers["if-none-match"], method, response);
}

function artefactAt({ authorities, lists }: PublicHttpOptions, url: string): Artefact | undefined {
  if (url === "/v1/bundle.pem") {
    const type = "application/pem-certificate-chain";
    return { type, maxAgeSeconds: 300, read: () => Buffer.from(authorities.trustBundle) };
  }
  if (url === "/v1/bundle.json") {
    const { sequence, trustBundle } = authorities.current;
    const read = (): Buffer => Buffer.from(spiffeBundle(trustBundle, sequence));
    return { type: "application/json", maxAgeSeconds: 300, read };
  }
  const [, kind, slug = ""] = /^\/v1\/(ca|crl)\/([a-z0-9.-]{1,64})\.(?:cer|crl)$/.exec(url) ?? [];
  const authority = authorities.bySlug(slug);
  if (authority === undefined) return undefined;
  if (kind === "ca" && url.endsWith(".cer")) {
    return { type: "application/pkix-cert", maxAgeSeconds: 3600, read: () => authority.row.certificate };
  }
  if (kind === "crl" && url.endsWith(".crl")) {
    return { type: "application/pkix-crl", maxAgeSeconds: 60, read: () => lists.current(authority) };
  }
  return undefined;
}

function paths({ authorities }: PublicHttpOptions): string[] {
  const slugs = authorities.current.all.map(({ slug }) => slug);
  return [
    "/v1/bundle.pem",
    "/v1/bundle.json",
    ocspPath,
    ...slugs.flatMap((slug) => [`/v1/ca/${slug}.cer`, `/v1/crl/${slug}.crl`]),
  ];
}
