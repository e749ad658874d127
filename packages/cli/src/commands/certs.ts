import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readInput, standardStream, writeOutput } from "../files.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { isoTime, shortTime, type TimestampLike } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";
import { registerAuthorities, registerDistrust, registerRotateCa } from "./certificate-authorities.ts";
import { registerIssue, registerRenew, registerRequest } from "./certificate-issuance.ts";
import { registerExternal, registerProfiles, registerRules } from "./certificate-profiles.ts";

export function register(program: Command): void {
  const certs = program.command("certs").description("certificates, the trust bundle, revocation lists");
  registerIssue(certs);
  registerList(certs);
  registerShow(certs);
  registerRequest(certs);
  registerRenew(certs);
  registerRevoke(certs);
  registerBundle(certs);
  registerCrl(certs);
  registerAuthorities(certs);
  registerRotateCa(certs);
  registerDistrust(certs);
  registerProfiles(certs);
  registerRules(certs);
  registerExternal(certs);
}

interface CertificateView {
  serial: string;
  subject: string;
  names: readonly string[];
  profile: string;
  requestedBy: string;
  notBefore?: TimestampLike | undefined;
  notAfter?: TimestampLike | undefined;
  state: string;
  revokedAt?: TimestampLike | undefined;
  revocationReason: string;
  certificate: string;
}

function registerList(certs: Command): void {
  defineCommand(certs, {
    usage: "list",
    description: "every certificate that was issued, by serial",
    examples: ["certs list", "certs list --json"],
    async run(session) {
      const claviger = await session.connect();
      const certificates = await everyPage(
        (page) => claviger.certificates.listCertificates(page),
        (response) => response.certificates,
      );
      session.answer({ certificates }, () => {
        const rows = certificates.map(({ serial, names, subject, profile, state, notAfter }) => [
          serial,
          shortIdentity(names[0] ?? subject),
          profile,
          state,
          shortTime(notAfter).slice(0, 10),
        ]);
        return table(["SERIAL", "NAME", "PROFILE", "STATE", "UNTIL"], rows, "no certificates");
      });
    },
  });
}

function registerShow(certs: Command): void {
  defineCommand(certs, {
    usage: "show <serial>",
    description: "one certificate",
    examples: ["certs show 4f1c0a…"],
    async run(session, positional) {
      const serial = normalisedSerial(argument(positional));
      const { certificate } = await (await session.connect()).certificates.getCertificate({ serial });
      const found = present(certificate, "the certificate");
      session.answer(found, () => certificateText(found));
    },
  });
}

function certificateText(view: CertificateView): string {
  const facts = properties([
    ["serial", view.serial],
    ["subject", view.subject],
    ...view.names.map((name) => ["name", name] as const),
    ["profile", view.profile],
    ["asked for by", shortIdentity(view.requestedBy)],
    ["valid from", shortTime(view.notBefore)],
    ["valid until", shortTime(view.notAfter)],
    ["state", view.state],
    ["revoked", view.revokedAt && `${shortTime(view.revokedAt)}: ${view.revocationReason}`],
  ]);
  return `${facts}\n\n${view.certificate}`;
}

function registerRevoke(certs: Command): void {
  defineCommand<{ reason?: string; identity?: string; key?: string }>(certs, {
    usage: "revoke [serial]",
    description:
      "revoke a certificate; or an identity with all of its own; or a public key with all of its own",
    examples: [
      "certs revoke 4f1c0a… --reason superseded",
      "certs revoke 4f1c0a… --reason certificateHold",
      "certs revoke 4f1c0a… --reason removeFromCRL",
      "certs revoke --key stolen.csr --reason keyCompromise",
      "certs revoke --identity billing --reason cessationOfOperation",
    ],
    options: [
      ["--reason <R>", "an RFC 5280 reason name; certificateHold can be ended, by removeFromCRL"],
      ["--identity <name>", "an identity, with every certificate that it has"],
      ["--key <file>", "a public key, or a certificate or request of it: it gets no certificate any more"],
    ],
    async run(session, positional, { reason = "unspecified", identity, key }) {
      if ([positional[0], identity, key].filter((one) => one !== undefined).length !== 1) {
        throw usageError("name one of: a serial, --identity NAME, --key FILE");
      }
      if (identity !== undefined) return revokeIdentity(session, identity, reason);
      if (key !== undefined)
        return revokeKey(session, key, reason === "unspecified" ? "keyCompromise" : reason);
      const serial = normalisedSerial(argument(positional));
      const answer = await (await session.connect()).certificates.revokeCertificate({ serial, reason });
      const certificate = present(answer.certificate, "the certificate");
      session.answer(certificate, () => {
        const when = certificate.revokedAt === undefined ? "" : ` since ${isoTime(certificate.revokedAt)}`;
        return `${certificate.serial} is ${certificate.state}${when}`;
      });
    },
  });
}

async function revokeIdentity(session: Session, name: string, reason: string): Promise<void> {
  const answer = await (await session.connect()).identities.revokeIdentity({ name, reason });
  const identity = present(answer.identity, "the identity");
  const { certificatesRevoked } = answer;
  session.answer(
    { identity, certificatesRevoked },
    () => `${identity.identity} is ${identity.state}; certificates revoked with it: ${certificatesRevoked}`,
  );
}

async function revokeKey(session: Session, file: string, reason: string): Promise<void> {
  const publicKey = await readInput(file, { bytesMax: 64 * 1024, what: "a public key" });
  const { certificates } = await session.connect();
  const answer = await certificates.revokePublicKey({ publicKey, reason });
  session.answer(
    answer,
    () =>
      `the key ${answer.publicKeySha256} gets no certificate any more; certificates revoked: ${answer.certificatesRevoked}`,
  );
}

const outOption = ["--out <file>", "where to; stdout by default"] as const;

function registerBundle(certs: Command): void {
  defineCommand<{ out?: string }>(certs, {
    usage: "bundle",
    description: "the roots that are trusted now, PEM",
    examples: ["certs bundle --out bundle.pem"],
    options: [outOption],
    async run(session, _, { out = standardStream }) {
      const { trustBundle } = await (await session.connect()).certificates.getTrustBundle({});
      deliverPem(session, { field: "trustBundle", pem: trustBundle, out });
    },
  });
}

function registerCrl(certs: Command): void {
  defineCommand<{ out?: string }>(certs, {
    usage: "crl",
    description: "the certificate revocation lists, PEM, one for each CA",
    examples: ["certs crl --out claviger.crl"],
    options: [outOption],
    async run(session, _, { out = standardStream }) {
      const claviger = await session.connect();
      const { certificateRevocationLists } = await claviger.certificates.getCertificateRevocationList({});
      deliverPem(session, { field: "certificateRevocationLists", pem: certificateRevocationLists, out });
    },
  });
}

function deliverPem(
  session: Session,
  { field, pem, out }: { field: string; pem: string; out: string },
): void {
  if (out === standardStream) {
    session.answer({ [field]: pem }, () => pem);
    return;
  }
  writeOutput(out, pem);
  session.answer({ out }, () => "");
  session.notice(`wrote ${out}`);
}

/** As OpenSSL prints it, in capitals and with colons, or as Claviger does. */
export function normalisedSerial(text: string): string {
  return text.replaceAll(":", "").toLowerCase();
}
