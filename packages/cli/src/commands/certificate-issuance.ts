import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { defineCommand } from "../define-command.ts";
import { readInput, standardStream, writeOutput } from "../files.ts";

const requestLimits = { bytesMax: 64 * 1024, what: "a certificate signing request" };

interface IssueOptions {
  csr: string;
  profile: string;
  out?: string;
  ttl?: string;
}

export function registerIssue(certs: Command): void {
  defineCommand<IssueOptions>(certs, {
    usage: "issue",
    description: "a certificate for a request; the key stays with whoever made the request",
    examples: ["certs issue --csr web.csr --profile server --out web.pem --ttl 90d"],
    options: [
      ["--csr <file>", "a PKCS #10 request, PEM or DER", "required"],
      ["--profile <P>", "server, client or workload", "required"],
      ["--out <file>", "the chain, PEM, leaf first; stdout by default"],
      ["--ttl <duration>", "how long it is valid; the profile's own default where left out"],
    ],
    async run(session, _, { csr, profile, out = standardStream, ttl }) {
      const lifetimeSeconds = ttl === undefined ? 0n : BigInt(parseDuration(ttl, "--ttl"));
      const certificateSigningRequest = await readInput(csr, requestLimits);
      const claviger = await session.connect();
      const answer = await claviger.certificates.issueCertificate({
        certificateSigningRequest,
        profile,
        lifetimeSeconds,
      });
      const { serial, certificateChain } = answer;
      if (out !== standardStream) writeOutput(out, certificateChain);
      session.answer(out === standardStream ? { serial, certificateChain } : { serial, out }, () =>
        out === standardStream ? certificateChain : "",
      );
      session.notice(`serial ${serial}${out === standardStream ? "" : `, written to ${out}`}`);
    },
  });
}

export function registerRenew(certs: Command): void {
  defineCommand(certs, {
    usage: "renew",
    description: "a new key and certificate for the identity in use, in place of its files",
    examples: ["certs renew", "certs renew --config billing/claviger.json"],
    async run(session) {
      const { renewIdentity } = await import("@claviger/client");
      const claviger = await session.connect();
      const { serial, notAfter } = await renewIdentity(claviger);
      const { directory } = claviger.identity;
      session.answer(
        { serial, notAfter, directory },
        () => `serial ${serial}, until ${notAfter.toISOString()}`,
      );
      session.notice(`the key and certificate in ${directory} are new`);
    },
  });
}
