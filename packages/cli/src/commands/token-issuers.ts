import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readText } from "../files.ts";
import { shortIdentity, table } from "../output.ts";

export function registerIssuers(identities: Command): void {
  const issuers = identities
    .command("issuers")
    .description("whose OpenID Connect tokens enrol whom: Kubernetes service accounts, CI");
  defineCommand<{ issuer: string; audience: string; jwks: string }>(issuers, {
    usage: "add <name>",
    description: "trust an issuer's tokens to enrol the identities that its rules name",
    examples: [
      "identities issuers add cluster --issuer https://kubernetes.default.svc --audience claviger --jwks jwks.json",
    ],
    options: [
      ["--issuer <iss>", 'the "iss" of its tokens, to the letter', "required"],
      ["--audience <aud>", "what its tokens have to be for", "required"],
      ["--jwks <file>", "its public keys: kubectl get --raw /openid/v1/jwks", "required"],
    ],
    async run(session, positional, { audience, issuer, jwks }) {
      const keys = await readText(jwks, { bytesMax: 64 * 1024, what: "a key set" });
      const claviger = await session.connect();
      const name = argument(positional);
      const answer = await claviger.tokenIssuers.addTokenIssuer({ name, issuer, audience, jwks: keys });
      const added = present(answer.issuer, "the issuer");
      session.answer(added, () => `${added.name}: tokens of ${added.issuer} for ${added.audience}`);
      session.notice(
        `map its tokens to identities: claviger identities issuers rule ${name} --claim sub=… --to NAME`,
      );
    },
  });
  defineCommand<{ claim: string[]; to: string }>(issuers, {
    usage: "rule <issuer>",
    description: "tokens with these claims enrol this identity",
    examples: [
      "identities issuers rule cluster --claim sub=system:serviceaccount:payments:billing --to billing",
    ],
    options: [
      ["--claim <name=value...>", "a claim that a token has to have; sub among them", "required"],
      ["--to <identity>", "the workload that it enrols", "required"],
    ],
    async run(session, positional, { claim, to }) {
      const pairs = claim.map((text) => /^([^=]+)=(.+)$/.exec(text) ?? []);
      if (pairs.some(([, name]) => name === undefined)) throw usageError("a claim is written NAME=VALUE");
      const claims = Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, value]));
      const claviger = await session.connect();
      const issuerName = argument(positional);
      const answer = await claviger.tokenIssuers.addTokenRule({ issuerName, claims, identity: to });
      const rule = present(answer.rule, "the rule");
      session.answer(rule, () => `rule ${rule.id}: such tokens enrol ${shortIdentity(rule.identity)}`);
    },
  });
  defineCommand(issuers, {
    usage: "list",
    description: "every issuer, with its rules",
    examples: ["identities issuers list"],
    async run(session) {
      const { issuers: found } = await (await session.connect()).tokenIssuers.listTokenIssuers({});
      session.answer({ issuers: found }, () => {
        const rows = found.flatMap(({ audience, issuer, name, rules }) => [
          [name, issuer, audience, ""],
          ...rules.map((rule) => ["", rule.id, shortIdentity(rule.identity), JSON.stringify(rule.claims)]),
        ]);
        return table(["ISSUER", "ISS · RULE", "AUDIENCE · IDENTITY", "CLAIMS"], rows, "no issuers");
      });
    },
  });
  defineCommand(issuers, {
    usage: "remove <name>",
    description: "believe an issuer's tokens no more, and take its rules away; identities that enrolled stay",
    examples: ["identities issuers remove cluster"],
    async run(session, positional) {
      const name = argument(positional);
      await (await session.connect()).tokenIssuers.removeTokenIssuer({ name });
      session.answer({ name, removed: true }, () => `${name} enrols nobody any more`);
    },
  });
  defineCommand(issuers, {
    usage: "remove-rule <rule>",
    description: "take one rule away",
    examples: ["identities issuers remove-rule 6f3c2a10-…"],
    async run(session, positional) {
      const id = argument(positional);
      await (await session.connect()).tokenIssuers.removeTokenRule({ id });
      session.answer({ id, removed: true }, () => `rule ${id} is gone`);
    },
  });
}
