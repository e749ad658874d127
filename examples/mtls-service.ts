// A workload that serves HTTPS to other workloads: both sides show certificates of Claviger's CA, and
// each checks who the other is. It gets its first certificate by a one-time token, renews under load,
// and rides through a rotation of the CA, all without a restart.
//
//   node examples/mtls-service.ts [TOKEN-FILE] DIRECTORY [--self-check]
import { readFileSync } from "node:fs";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import * as client from "@claviger/client";

const words = process.argv.slice(2).filter((word) => word !== "--self-check");
const directory = words.at(-1) ?? "billing";
if (words.length > 1) {
  const joined = await client.enrollWithToken(readFileSync(words[0] ?? "", "utf8"));
  // The token knows only where to enrol; the other addresses come from the claviger.json at hand.
  const { addresses } = client.readConfigFile(client.findConfigFile());
  client.writeIdentity(directory, { ...joined, addresses: { ...addresses, ...joined.addresses } });
}
const claviger = client.createClaviger({ config: `${directory}/claviger.json` });

const tlsOptions = () => {
  const { key, certificateChain: cert, trustBundle: ca } = claviger.identity.material;
  return { key, cert, ca, minVersion: "TLSv1.3" as const };
};
/** Workload certificates name no host: who the other side is stands in its one SPIFFE URI. */
const spiffeOf = (subjectAltName = "") => /^URI:(spiffe:\/\/[^,"]+)$/.exec(subjectAltName)?.[1];
const self = spiffeOf(claviger.identity.leaf.subjectAltName) ?? "nobody";

const mutual = { ...tlsOptions(), requestCert: true, rejectUnauthorized: true };
const server = createServer(mutual, (call, answer) => {
  const caller = spiffeOf((call.socket as TLSSocket).getPeerCertificate().subjectaltname);
  console.log(`${call.method} ${call.url} by ${caller}`);
  answer.writeHead(caller === undefined ? 403 : 200).end(`hello, ${caller}\n`);
});
// Takes the roots and renews in the background; connections that are open stay, new ones use what is new.
claviger.identity.onChange(() => server.setSecureContext(tlsOptions()));
client.keepTrust(claviger, { onProgress: console.log, onTrouble: console.error });

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`${self} serves https://127.0.0.1:${port}`);
  if (process.argv.includes("--self-check")) callSelf(port);
});

function callSelf(port: number): void {
  const checkServerIdentity = (_host: string, { subjectaltname }: { subjectaltname?: string }) =>
    spiffeOf(subjectaltname) === self ? undefined : new Error(`the server is not ${self}`);
  request({ ...tlsOptions(), host: "127.0.0.1", port, agent: false, checkServerIdentity }, (answer) => {
    console.log(`answered with ${answer.statusCode}`);
    process.exit(answer.statusCode === 200 ? 0 : 1);
  }).end();
}
