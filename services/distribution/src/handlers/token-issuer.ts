import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AddTokenIssuerRequestSchema,
  AddTokenIssuerResponseSchema,
  AddTokenRuleRequestSchema,
  AddTokenRuleResponseSchema,
  RemoveTokenIssuerRequestSchema,
  RemoveTokenIssuerResponseSchema,
  RemoveTokenRuleRequestSchema,
  RemoveTokenRuleResponseSchema,
  TokenIssuerSchema,
  type TokenIssuerService,
  TokenRuleSchema,
} from "@claviger/proto/distribution/v1/token_issuer_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { DistributionContext } from "../context.ts";
import { publish } from "../registry.ts";
import {
  deleteTokenIssuer,
  deleteTokenRule,
  findTokenIssuer,
  insertTokenIssuer,
  insertTokenRule,
  listTokenIssuers,
  listTokenRules,
  type TokenIssuerRow,
  type TokenRuleRow,
} from "../store/token-issuers.ts";
import { checkClaims, checkJwks, checkRuleIdentity } from "../workload-tokens.ts";

type TokenIssuerHandlers = Handlers<typeof TokenIssuerService, Transaction>;

const issuersMax = 20;
const rulesMax = 500;

export function tokenIssuerHandlers(shared: DistributionContext): TokenIssuerHandlers {
  return { ...issuerRows(shared), ...ruleRows(shared) };
}

function issuerRows(
  shared: DistributionContext,
): Pick<TokenIssuerHandlers, "addTokenIssuer" | "listTokenIssuers" | "removeTokenIssuer"> {
  return {
    async addTokenIssuer(request, context) {
      const registry = shared.open(context.unit);
      const { audience, issuer, name } = request;
      if (!/^[a-z][a-z0-9-]{0,39}$/.test(name)) {
        throw new DomainError(
          "invalid-argument",
          "an issuer's name has lower-case letters, digits and hyphens",
        );
      }
      if ([issuer, audience].some((text) => text === "" || text.length > 512)) {
        throw new DomainError(
          "invalid-argument",
          'an issuer has an "iss" and an audience, of 512 characters at most',
        );
      }
      const jwks = checkJwks(request.jwks);
      const requestHash = hashRequest(AddTokenIssuerRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AddTokenIssuerResponseSchema, async () => {
        if ((await listTokenIssuers(registry.tx, registry.sealer)).length >= issuersMax) {
          throw new DomainError("exhausted", `there are ${issuersMax} issuers already`);
        }
        const by = { createdBy: context.caller.uri, createdAt: registry.now };
        const row: TokenIssuerRow = { name, issuer, audience, jwks, ...by };
        if (!(await insertTokenIssuer(registry.tx, registry.sealer, row))) {
          throw new DomainError("already-exists", `there is an issuer ${name}, or one with this "iss"`, {
            hint: "remove it first: claviger identities issuers remove NAME",
          });
        }
        await publish(registry, "token-issuer.added", name);
        return create(AddTokenIssuerResponseSchema, { issuer: issuerMessage(row, []) });
      });
      context.note({ name });
      return response;
    },
    async listTokenIssuers(_, { unit }) {
      const { sealer } = shared.open(unit);
      const issuers = [];
      for (const row of await listTokenIssuers(unit, sealer)) {
        issuers.push(issuerMessage(row, await listTokenRules(unit, sealer, row.name)));
      }
      return { issuers };
    },
    async removeTokenIssuer(request, context) {
      const registry = shared.open(context.unit);
      const requestHash = hashRequest(RemoveTokenIssuerRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RemoveTokenIssuerResponseSchema, async () => {
        if (!(await deleteTokenIssuer(registry.tx, request.name))) {
          throw new DomainError("not-found", `there is no issuer ${request.name.slice(0, 40)}`);
        }
        await publish(registry, "token-issuer.removed", request.name);
        return create(RemoveTokenIssuerResponseSchema);
      });
      context.note({ name: request.name.slice(0, 40) });
      return response;
    },
  };
}

function ruleRows(
  shared: DistributionContext,
): Pick<TokenIssuerHandlers, "addTokenRule" | "removeTokenRule"> {
  return {
    async addTokenRule(request, context) {
      const registry = shared.open(context.unit);
      const claims = checkClaims(request.claims);
      const { uri: identity } = checkRuleIdentity(shared.trustDomain, request.identity);
      context.concerns(identity);
      const requestHash = hashRequest(AddTokenRuleRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AddTokenRuleResponseSchema, async () => {
        const { issuerName } = request;
        if ((await findTokenIssuer(registry.tx, registry.sealer, { name: issuerName })) === undefined) {
          throw new DomainError("not-found", `there is no issuer ${issuerName.slice(0, 40)}`);
        }
        if ((await listTokenRules(registry.tx, registry.sealer, issuerName)).length >= rulesMax) {
          throw new DomainError("exhausted", `${issuerName} has ${rulesMax} rules already`);
        }
        const by = { createdBy: context.caller.uri, createdAt: registry.now };
        const row: TokenRuleRow = { id: randomUUID(), issuerName, claims, identity, ...by };
        if (!(await insertTokenRule(registry.tx, registry.sealer, row))) {
          throw new DomainError("already-exists", "there is a rule for these claims");
        }
        return create(AddTokenRuleResponseSchema, { rule: ruleMessage(row) });
      });
      context.note({ rule: response.rule?.id ?? "" });
      return response;
    },
    async removeTokenRule(request, context) {
      const registry = shared.open(context.unit);
      if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(request.id)) {
        throw new DomainError(
          "invalid-argument",
          "a rule's id is a UUID: claviger identities issuers list shows it",
        );
      }
      const requestHash = hashRequest(RemoveTokenRuleRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RemoveTokenRuleResponseSchema, async () => {
        if (!(await deleteTokenRule(registry.tx, request.id))) {
          throw new DomainError("not-found", `there is no rule ${request.id}`);
        }
        return create(RemoveTokenRuleResponseSchema);
      });
      context.note({ rule: request.id });
      return response;
    },
  };
}

function issuerMessage(row: TokenIssuerRow, rules: readonly TokenRuleRow[]) {
  return create(TokenIssuerSchema, {
    name: row.name,
    issuer: row.issuer,
    audience: row.audience,
    jwks: row.jwks,
    createdAt: timestampFromDate(row.createdAt),
    rules: rules.map(ruleMessage),
  });
}

function ruleMessage({ claims, id, identity, issuerName }: TokenRuleRow) {
  return create(TokenRuleSchema, {
    id,
    issuerName,
    claims: JSON.parse(claims) as Record<string, string>,
    identity,
  });
}
