import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { defineCommand } from "../define-command.ts";
import { readInput, standardStream, writeOutput } from "../files.ts";
import { shortTime, type TimestampLike } from "../plain.ts";
import type { Session } from "../session.ts";

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
      ["--profile <P>", "server, client, workload, or one of `certs profiles list`", "required"],
      ["--out <file>", "the chain, PEM, leaf first; stdout by default"],
      ["--ttl <duration>", "how long it is valid; the profile's own default where left out"],
    ],
    async run(session, _, { csr, profile, out = standardStream, ttl }) {
      const asked = await readAsked({ csr, profile, ttl });
      const { certificates } = await session.connect();
      deliver(session, await certificates.issueCertificate(asked), out);
    },
  });
}

export function registerRequest(certs: Command): void {
  defineCommand<IssueOptions>(certs, {
    usage: "request",
    description: "a certificate for names that a rule lets this identity have",
    examples: ["certs request --csr web.csr --profile server --out web.pem --config billing/claviger.json"],
    options: [
      ["--csr <file>", "a PKCS #10 request, PEM or DER", "required"],
      ["--profile <P>", "server, client, or one of `certs profiles list`", "required"],
      ["--out <file>", "the chain, PEM, leaf first; stdout by default"],
      ["--ttl <duration>", "how long it is valid; the profile's own default where left out"],
    ],
    async run(session, _, { csr, profile, out = standardStream, ttl }) {
      const asked = await readAsked({ csr, profile, ttl });
      const { certificates } = await session.connect();
      deliver(session, await certificates.requestCertificate(asked), out);
    },
  });
}

async function readAsked({
  csr,
  profile,
  ttl,
}: Pick<IssueOptions, "csr" | "profile"> & { ttl: string | undefined }) {
  const lifetimeSeconds = ttl === undefined ? 0n : BigInt(parseDuration(ttl, "--ttl"));
  return { certificateSigningRequest: await readInput(csr, requestLimits), profile, lifetimeSeconds };
}

function deliver(
  session: Session,
  {
    certificateChain,
    renewAt,
    serial,
  }: { serial: string; certificateChain: string; renewAt?: TimestampLike | undefined },
  out: string,
): void {
  if (out !== standardStream) writeOutput(out, certificateChain);
  session.answer(
    out === standardStream ? { serial, renewAt, certificateChain } : { serial, renewAt, out },
    () => (out === standardStream ? certificateChain : ""),
  );
  session.notice(`serial ${serial}${out === standardStream ? "" : `, written to ${out}`}`);
  session.notice(`renew it around ${shortTime(renewAt)}`);
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
