import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readText, standardStream, writeOutput } from "../files.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";

interface ProfileOptions {
  ca?: string;
  keys?: string;
  usages?: string;
  names?: string;
  ttl: string;
  ttlMax?: string;
}

const listed = (text: string | undefined): string[] => (text === undefined ? [] : text.split(","));

export function registerProfiles(certs: Command): void {
  const profiles = certs.command("profiles").description("what a certificate is for, and for how long");
  defineCommand<ProfileOptions>(profiles, {
    usage: "create <name>",
    description: "add a profile",
    examples: [
      "certs profiles create web --names dns --usages serverAuth --ttl 30d",
      "certs profiles create device --ca issuing-rsa --keys rsa,ec-p256 --usages clientAuth --ttl 7d --ttl-max 90d",
    ],
    options: [
      ["--ttl <duration>", "how long a certificate is valid where its request says nothing", "required"],
      ["--ttl-max <duration>", "how long at most; as --ttl where left out"],
      ["--ca <name>", "which CA signs: one of `certs authorities`; issuing by default"],
      ["--keys <types>", "of ec-p256, ec-p384, ec-p521, ed25519, rsa; all by default"],
      ["--usages <usages>", "of serverAuth, clientAuth; both by default"],
      ["--names <kinds>", "of dns, ip, uri, email; all by default"],
    ],
    async run(session, positional, { ca = "", keys, names, ttl, ttlMax = ttl, usages }) {
      const claviger = await session.connect();
      const answer = await claviger.profiles.createProfile({
        profile: {
          name: argument(positional),
          authority: ca,
          keyTypes: listed(keys),
          extendedKeyUsages: listed(usages),
          nameKinds: listed(names),
          lifetimeSecondsDefault: parseDuration(ttl, "--ttl"),
          lifetimeSecondsMax: parseDuration(ttlMax, "--ttl-max"),
        },
      });
      const profile = present(answer.profile, "the profile");
      session.answer(profile, () => `profile ${profile.name}, signed by ${profile.authority}`);
    },
  });
  defineCommand(profiles, {
    usage: "list",
    description: "Claviger's own profiles, and those that administrators made",
    examples: ["certs profiles list"],
    async run(session) {
      const { profiles: found } = await (await session.connect()).profiles.listProfiles({});
      session.answer({ profiles: found }, () => {
        const rows = found.map((profile) => [
          profile.name,
          profile.authority,
          profile.extendedKeyUsages.join(", "),
          profile.nameKinds.join(", "),
          profile.keyTypes.join(", ") || "any",
          `${Math.round(profile.lifetimeSecondsMax / 86_400)} d`,
        ]);
        return table(["PROFILE", "CA", "USAGES", "NAMES", "KEYS", "AT MOST"], rows, "no profiles");
      });
    },
  });
  defineCommand(profiles, {
    usage: "delete <name>",
    description: "take a profile away; certificates that were issued by it stay",
    examples: ["certs profiles delete web"],
    async run(session, positional) {
      const name = argument(positional);
      await (await session.connect()).profiles.deleteProfile({ name });
      session.answer({ name, deleted: true }, () => `profile ${name} is gone`);
    },
  });
}

interface RuleOptions {
  profile: string;
  to: string;
  dns?: string;
  ip?: string;
  uri?: string;
  email?: string;
}

export function registerRules(certs: Command): void {
  const rules = certs.command("rules").description("which names an identity may ask for itself");
  defineCommand<RuleOptions>(rules, {
    usage: "add",
    description: "let an identity ask for certificates with these names: certs request",
    examples: [
      "certs rules add --profile server --to billing --dns '*.billing.example'",
      "certs rules add --profile server --to 'workload/web/*' --dns .web.example",
      "certs rules add --profile server --to billing --ip 10.1.0.0/16",
    ],
    options: [
      ["--profile <P>", "server, client, or one of `certs profiles list`", "required"],
      ["--to <identity>", "an identity; with /* at its end all that begin so", "required"],
      ["--dns <pattern>", "web.example; *.web.example for one label more; .web.example for any depth"],
      ["--ip <pattern>", "an address, or a block such as 10.1.0.0/16"],
      ["--uri <pattern>", "a URI, or its beginning and a star"],
      ["--email <pattern>", "an address, or *@example.com"],
    ],
    async run(session, _, { profile, to, ...patterns }) {
      const kinds = ["dns", "ip", "uri", "email"] as const;
      const named = kinds.filter((kind) => patterns[kind] !== undefined);
      const [kind] = named;
      if (kind === undefined || named.length > 1) throw usageError("give one of --dns, --ip, --uri, --email");
      const pattern = patterns[kind] ?? "";
      const answer = await (await session.connect()).profiles.addNameRule({
        profile,
        identity: to,
        kind,
        pattern,
      });
      const rule = present(answer.rule, "the rule");
      session.answer(
        rule,
        () => `rule ${rule.id}: ${shortIdentity(rule.identity)} may have ${kind}:${rule.pattern}`,
      );
    },
  });
  defineCommand(rules, {
    usage: "list",
    description: "every rule",
    examples: ["certs rules list"],
    async run(session) {
      const { rules: found } = await (await session.connect()).profiles.listNameRules({});
      session.answer({ rules: found }, () => {
        const rows = found.map((rule) => [
          rule.id,
          rule.profile,
          shortIdentity(rule.identity),
          `${rule.kind}:${rule.pattern}`,
        ]);
        return table(["RULE", "PROFILE", "IDENTITY", "NAMES"], rows, "no rules");
      });
    },
  });
  defineCommand(rules, {
    usage: "remove <rule>",
    description: "take a rule away; certificates that were issued by it stay",
    examples: ["certs rules remove 6f3c2a10-…"],
    async run(session, positional) {
      const id = argument(positional);
      await (await session.connect()).profiles.removeNameRule({ id });
      session.answer({ id, removed: true }, () => `rule ${id} is gone`);
    },
  });
}

export function registerExternal(certs: Command): void {
  const ca = certs.command("ca").description("a CA whose key is here, and which an outside root signs");
  defineCommand<{ algorithm?: string; commonName: string; organization?: string; out?: string }>(ca, {
    usage: "request <name>",
    description: "make its key in the HSM, and a request for the outside root",
    examples: ["certs ca request external-partner --common-name 'Example Partner CA' --out partner.csr"],
    options: [
      ["--common-name <text>", "of the CA", "required"],
      ["--organization <text>", "of the CA"],
      ["--algorithm <A>", "ecdsa-p256, ecdsa-p384, rsa-pkcs1-3072 or rsa-pkcs1-4096; ecdsa-p256 by default"],
      ["--out <file>", "the request, PEM; stdout by default"],
    ],
    async run(
      session,
      positional,
      { algorithm = "ecdsa-p256", commonName, organization = "", out = standardStream },
    ) {
      const { certificateSigningRequest } = await (await session.connect()).profiles.createAuthorityRequest({
        name: argument(positional),
        algorithm,
        commonName,
        organization,
      });
      if (out !== standardStream) writeOutput(out, certificateSigningRequest);
      session.answer(out === standardStream ? { certificateSigningRequest } : { out }, () =>
        out === standardStream ? certificateSigningRequest : "",
      );
      session.notice(
        "have the outside root sign it as a CA, then: claviger certs ca install NAME --chain FILE",
      );
    },
  });
  defineCommand<{ chain: string }>(ca, {
    usage: "install <name>",
    description: "take what the outside root signed; profiles can name this CA from then on",
    examples: ["certs ca install external-partner --chain partner-chain.pem"],
    options: [["--chain <file>", "PEM: the CA's certificate first, the outside root last", "required"]],
    async run(session, positional, { chain }) {
      const certificateChain = await readText(chain, { bytesMax: 256 * 1024, what: "a certificate chain" });
      const claviger = await session.connect();
      const answer = await claviger.profiles.installAuthority({
        name: argument(positional),
        certificateChain,
      });
      session.answer(answer, () => `${answer.name} signs, until ${shortTime(answer.notAfter)}`);
      session.notice(`give it a profile: claviger certs profiles create NAME --ca ${answer.name} --ttl 30d`);
    },
  });
}
