import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AddNameRuleRequestSchema,
  AddNameRuleResponseSchema,
  CreateProfileRequestSchema,
  CreateProfileResponseSchema,
  DeleteProfileRequestSchema,
  DeleteProfileResponseSchema,
  InstallAuthorityRequestSchema,
  InstallAuthorityResponseSchema,
  NameRuleSchema,
  ProfileSchema,
  type ProfileService,
  RemoveNameRuleRequestSchema,
  RemoveNameRuleResponseSchema,
} from "@claviger/proto/distribution/v1/profile_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { GeneratorClients } from "../authority-keys.ts";
import type { DistributionContext } from "../context.ts";
import { checkCustomProfile } from "../custom-profiles.ts";
import { installAuthority, requestAuthority } from "../external-authorities.ts";
import { checkIdentityPattern, checkNameKind, checkPattern, nameKinds } from "../name-rules.ts";
import { type Profile, profiles, requestable } from "../profiles.ts";
import { publish, type Registry } from "../registry.ts";
import {
  countNameRules,
  deleteNameRule,
  insertNameRule,
  listNameRules,
  type NameRuleRow,
} from "../store/name-rules.ts";
import {
  deleteProfile,
  findProfile,
  insertProfile,
  listProfiles,
  type ProfileRow,
} from "../store/profiles.ts";

type ProfileHandlers = Handlers<typeof ProfileService, Transaction>;

export interface ProfileOptions extends DistributionContext {
  generator: GeneratorClients;
  poke: () => void;
}

const profilesMax = 200;
const nameRulesMax = 5000;

export function profileHandlers(options: ProfileOptions): ProfileHandlers {
  return { ...profileRows(options), ...nameRules(options), ...externals(options) };
}

function profileRows(
  options: ProfileOptions,
): Pick<ProfileHandlers, "createProfile" | "listProfiles" | "deleteProfile"> {
  return {
    async createProfile(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(CreateProfileRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const wanted = checkCustomProfile(request.profile ?? create(ProfileSchema));
      const { response } = await once(registry, asked, CreateProfileResponseSchema, async () => {
        options.authorities.signing(wanted.authority);
        const row: ProfileRow = { ...wanted, createdBy: context.caller.uri, createdAt: registry.now };
        if ((await listProfiles(registry.tx, registry.sealer)).length >= profilesMax) {
          throw new DomainError("exhausted", `there are ${profilesMax} profiles already`);
        }
        if (!(await insertProfile(registry.tx, registry.sealer, row))) {
          throw new DomainError("already-exists", `there is a profile ${row.name}`);
        }
        await publish(registry, "profile.created", row.name);
        return create(CreateProfileResponseSchema, { profile: profileMessage(row) });
      });
      context.note({ profile: wanted.name, authority: wanted.authority });
      return response;
    },
    async listProfiles(_, { unit }) {
      const { sealer } = options.open(unit);
      const rows = await listProfiles(unit, sealer);
      return { profiles: [...builtIn(), ...rows.map(profileMessage)] };
    },
    async deleteProfile(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(DeleteProfileRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, DeleteProfileResponseSchema, async () => {
        if (!(await deleteProfile(registry.tx, request.name))) {
          throw new DomainError("not-found", `no administrator made a profile ${request.name.slice(0, 40)}`);
        }
        await publish(registry, "profile.deleted", request.name);
        return create(DeleteProfileResponseSchema);
      });
      context.note({ profile: request.name.slice(0, 40) });
      return response;
    },
  };
}

function nameRules(
  options: ProfileOptions,
): Pick<ProfileHandlers, "addNameRule" | "listNameRules" | "removeNameRule"> {
  return {
    async addNameRule(request, context) {
      const registry = options.open(context.unit);
      const kind = checkNameKind(request.kind);
      const pattern = checkPattern(kind, request.pattern);
      const identity = checkIdentityPattern(options.trustDomain, request.identity);
      context.concerns(identity);
      const requestHash = hashRequest(AddNameRuleRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AddNameRuleResponseSchema, async () => {
        await requireProfile(registry, request.profile);
        if ((await countNameRules(registry.tx)) >= nameRulesMax) {
          throw new DomainError("exhausted", `there are ${nameRulesMax} rules already`);
        }
        const row = await insertNameRule(registry.tx, registry.sealer, {
          id: randomUUID(),
          profile: request.profile,
          identity,
          kind,
          pattern,
          createdBy: context.caller.uri,
          createdAt: registry.now,
        });
        return create(AddNameRuleResponseSchema, { rule: ruleMessage(row) });
      });
      context.note({ rule: response.rule?.id ?? "", profile: request.profile });
      return response;
    },
    async listNameRules(_, { unit }) {
      const { sealer } = options.open(unit);
      return { rules: (await listNameRules(unit, sealer)).map(ruleMessage) };
    },
    async removeNameRule(request, context) {
      const registry = options.open(context.unit);
      if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(request.id)) {
        throw new DomainError(
          "invalid-argument",
          "a rule's id is a UUID: claviger certs rules list shows it",
        );
      }
      const requestHash = hashRequest(RemoveNameRuleRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, RemoveNameRuleResponseSchema, async () => {
        if (!(await deleteNameRule(registry.tx, request.id))) {
          throw new DomainError("not-found", `there is no rule ${request.id}`);
        }
        return create(RemoveNameRuleResponseSchema);
      });
      context.note({ rule: request.id });
      return response;
    },
  };
}

async function requireProfile(registry: Registry, name: string): Promise<void> {
  if (name === "server" || name === "client") return;
  if ((await findProfile(registry.tx, registry.sealer, name)) !== undefined) return;
  throw new DomainError("not-found", `there is no profile ${name.slice(0, 40)} that rules are for`, {
    hint: "server, client, or one that claviger certs profiles create made",
  });
}

function externals(
  options: ProfileOptions,
): Pick<ProfileHandlers, "createAuthorityRequest" | "installAuthority"> {
  return {
    async createAuthorityRequest(request, context) {
      context.note({ name: request.name.slice(0, 40), algorithm: request.algorithm.slice(0, 40) });
      return { certificateSigningRequest: await requestAuthority(options.generator, request) };
    },
    async installAuthority(request, context) {
      const registry = options.open(context.unit);
      const requestHash = hashRequest(InstallAuthorityRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, InstallAuthorityResponseSchema, async () => {
        const { certificateChain: chain, name } = request;
        const notAfter = await installAuthority(registry, options.generator, { name, chain });
        await publish(registry, "authority.changed", name, { name, generation: 1, state: "active" });
        return create(InstallAuthorityResponseSchema, { name, notAfter: timestampFromDate(notAfter) });
      });
      context.note({ name: request.name });
      context.unit.afterCommit(options.poke);
      return response;
    },
  };
}

function profileMessage(row: ProfileRow) {
  return create(ProfileSchema, {
    name: row.name,
    authority: row.authority,
    keyTypes: row.keyTypes.split(","),
    extendedKeyUsages: row.extendedKeyUsage.split(","),
    nameKinds: row.nameKinds.split(","),
    lifetimeSecondsDefault: row.lifetimeSecondsDefault,
    lifetimeSecondsMax: row.lifetimeSecondsMax,
  });
}

const kindsOfBuiltIn: Readonly<Record<string, readonly string[]>> = {
  server: ["dns", "ip"],
  client: nameKinds,
  workload: ["uri"],
};

function builtIn() {
  return requestable.map((name) => {
    const form: Profile = profiles[name];
    return create(ProfileSchema, {
      name,
      authority: "issuing",
      extendedKeyUsages: [...form.extendedKeyUsage],
      nameKinds: [...(kindsOfBuiltIn[name] ?? [])],
      lifetimeSecondsDefault: form.lifetimeSecondsDefault,
      lifetimeSecondsMax: form.lifetimeSecondsMax,
      builtIn: true,
    });
  });
}

function ruleMessage(row: NameRuleRow) {
  const { createdAt, ...rest } = row;
  return create(NameRuleSchema, { ...rest, createdAt: timestampFromDate(createdAt) });
}
