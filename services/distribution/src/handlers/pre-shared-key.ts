import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  AcknowledgePreSharedKeyRequestSchema,
  AcknowledgePreSharedKeyResponseSchema,
  CreatePreSharedKeyRequestSchema,
  CreatePreSharedKeyResponseSchema,
  PreSharedKeyGenerationSchema,
  PreSharedKeySchema,
  type PreSharedKeyService,
} from "@claviger/proto/distribution/v1/pre_shared_key_pb.ts";
import type { SignedRequest } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { type Handlers, pageSize, pageToken, readPageToken } from "@claviger/rpc";
import { listField, numberField, textField } from "@claviger/signed-request";
import type { ExchangeContext } from "../exchange/context.ts";
import { checkName, checkParty } from "../exchange/names.ts";
import {
  acknowledgedBy,
  deliverable,
  type GenerationView,
  generationsKept,
  overlapSeconds,
  sideOf,
  viewGenerations,
} from "../exchange/pre-shared-keys.ts";
import { fieldsOf, requireRecipient } from "../exchange/recipients.ts";
import { publish, type Registry } from "../registry.ts";
import {
  deleteGenerationsBefore,
  findPreSharedKey,
  generationsOf,
  insertGeneration,
  insertPreSharedKey,
  listPreSharedKeys,
  type PreSharedKeyRow,
  updateGeneration,
} from "../store/pre-shared-keys.ts";

type PreSharedKeyHandlers = Handlers<typeof PreSharedKeyService, Transaction>;

export function preSharedKeyHandlers(shared: ExchangeContext): PreSharedKeyHandlers {
  return {
    ...partyHandlers(shared),
    async createPreSharedKey(request, context) {
      const registry = shared.open(context.unit);
      const { fields, signed } = fieldsOf(request.signed, "create-psk", context);
      const wanted: Wanted = {
        name: checkName(textField(fields, "name"), "pre-shared key"),
        generation: numberField(fields, "generation"),
        parties: listField(fields, "parties").map((party) => checkParty(shared.trustDomain, party)),
        overlap: request.overlapSeconds,
      };
      context.concerns(wanted.parties.join(" "));
      context.note({ name: wanted.name, generation: wanted.generation });
      const requestHash = hashRequest(CreatePreSharedKeyRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, CreatePreSharedKeyResponseSchema, async () => {
        const key = await requireKey(registry, wanted, context.caller.uri);
        await makeGeneration(shared, registry, key, wanted.generation, signed);
        await publish(registry, "psk.created", wanted.name, { generation: wanted.generation });
        return create(CreatePreSharedKeyResponseSchema, { key: await keyMessage(registry, key) });
      });
      return response;
    },
    async getPreSharedKey({ name }, { unit }) {
      const registry = shared.open(unit);
      const key = await findPreSharedKey(unit, registry.sealer, checkName(name, "pre-shared key"));
      if (key === undefined) throw new DomainError("not-found", `there is no pre-shared key ${name}`);
      return { key: await keyMessage(registry, key) };
    },
    async listPreSharedKeys(request, { unit }) {
      const registry = shared.open(unit);
      const limit = pageSize(request.pageSize);
      const rows = await listPreSharedKeys(unit, registry.sealer, readPageToken(request.pageToken), limit);
      const keys = [];
      for (const row of rows) keys.push(await keyMessage(registry, row));
      return { keys, nextPageToken: pageToken(rows.length < limit ? undefined : rows.at(-1)?.name) };
    },
  };
}

function partyHandlers(
  shared: ExchangeContext,
): Pick<PreSharedKeyHandlers, "fetchPreSharedKey" | "acknowledgePreSharedKey"> {
  return {
    async fetchPreSharedKey({ generation, name }, { caller, note, unit }) {
      const registry = shared.open(unit);
      const key = await findPreSharedKey(unit, registry.sealer, checkName(name, "pre-shared key"));
      const side = sideOf(key, caller.uri);
      const views = await viewsOf(registry, key!);
      const found = deliverable(views, side, generation);
      note({ name, generation: found.generation });
      return {
        generation: found.generation,
        ticket: found.ticket,
        certificateChain: await shared.chains.chainOf(registry, found.signerVersion, caller.uri),
      };
    },
    async acknowledgePreSharedKey(request, context) {
      const registry = shared.open(context.unit);
      const { sealer, tx } = registry;
      const requestHash = hashRequest(AcknowledgePreSharedKeyRequestSchema, request);
      const asked = { caller: context.caller.uri, requestId: request.requestId, requestHash };
      const { response } = await once(registry, asked, AcknowledgePreSharedKeyResponseSchema, async () => {
        const key = await findPreSharedKey(tx, sealer, checkName(request.name, "pre-shared key"));
        const side = sideOf(key, context.caller.uri);
        const rows = await generationsOf(tx, sealer, request.name, "lock");
        const row = rows.find(({ generation }) => generation === request.generation);
        if (row === undefined) throw new DomainError("not-found", "there is no such generation");
        await updateGeneration(tx, sealer, acknowledgedBy(row, side, registry.now));
        await publish(registry, "psk.acknowledged", request.name, { generation: request.generation });
        const views = await viewsOf(registry, key!);
        const view = views.find(({ row: { generation } }) => generation === request.generation)!;
        return create(AcknowledgePreSharedKeyResponseSchema, { generation: generationMessage(key!, view) });
      });
      context.note({ name: request.name, generation: request.generation });
      return response;
    },
  };
}

interface Wanted {
  name: string;
  generation: number;
  parties: readonly string[];
  overlap: number;
}

/** The key of that name, made where this is its first generation. */
async function requireKey(
  { now, sealer, tx }: Registry,
  wanted: Wanted,
  createdBy: string,
): Promise<PreSharedKeyRow> {
  const [partyA, partyB] = wanted.parties;
  const { name } = wanted;
  if (partyA === undefined || partyB === undefined || wanted.parties.length !== 2 || partyA >= partyB) {
    throw new DomainError(
      "invalid-argument",
      "a pre-shared key is for exactly two parties, in alphabetical order",
    );
  }
  if (wanted.overlap > overlapSeconds.max) {
    throw new DomainError(
      "invalid-argument",
      `generations overlap for at most ${overlapSeconds.max} seconds`,
    );
  }
  if (wanted.generation === 1) {
    const overlap = wanted.overlap || overlapSeconds.default;
    const row = { name, partyA, partyB, overlapSeconds: overlap, createdBy, createdAt: now };
    if (await insertPreSharedKey(tx, sealer, row)) return row;
    throw new DomainError("already-exists", `there is a pre-shared key ${name} already`, {
      hint: `its next generation: claviger psk rotate ${name}`,
    });
  }
  const found = await findPreSharedKey(tx, sealer, name);
  if (found === undefined) throw new DomainError("not-found", `there is no pre-shared key ${name}`);
  if (found.partyA === partyA && found.partyB === partyB) return found;
  throw new DomainError(
    "failed-precondition",
    `${name} is for ${found.partyA} and ${found.partyB}, for good`,
    {
      hint: "make another for other parties",
    },
  );
}

async function makeGeneration(
  shared: ExchangeContext,
  registry: Registry,
  { name, partyA, partyB }: PreSharedKeyRow,
  generation: number,
  signed: SignedRequest,
): Promise<void> {
  const { now, sealer, tx } = registry;
  const newest = (await generationsOf(tx, sealer, name, "lock")).at(-1)?.generation ?? 0;
  const conflict = new DomainError("aborted", `the next generation of ${name} is ${newest + 1}`, {
    hint: "somebody made one meanwhile: look, and try again",
  });
  if (generation !== newest + 1) throw conflict;
  const recipients = [await requireRecipient(registry, partyA), await requireRecipient(registry, partyB)];
  const { signerVersion, tickets } = await shared.distribute.issuePreSharedKey({ signed, recipients });
  const made = await insertGeneration(tx, sealer, {
    name,
    generation,
    createdAt: now,
    signerVersion,
    ticketA: tickets[0]!,
    ticketB: tickets[1]!,
    acknowledgedAAt: null,
    acknowledgedBAt: null,
    revision: 1,
  });
  if (!made) throw conflict;
  await deleteGenerationsBefore(tx, sealer, name, generation - generationsKept + 1);
}

async function viewsOf({ now, sealer, tx }: Registry, key: PreSharedKeyRow): Promise<GenerationView[]> {
  return viewGenerations(key, await generationsOf(tx, sealer, key.name), now);
}

async function keyMessage(registry: Registry, key: PreSharedKeyRow) {
  const views = await viewsOf(registry, key);
  return create(PreSharedKeySchema, {
    name: key.name,
    parties: [key.partyA, key.partyB],
    overlapSeconds: key.overlapSeconds,
    generations: views.map((view) => generationMessage(key, view)),
  });
}

function generationMessage({ partyA, partyB }: PreSharedKeyRow, { retiresAt, row, state }: GenerationView) {
  const delivery = (party: string, at: Date | null) => ({
    party,
    ...(at === null ? {} : { acknowledgedAt: timestampFromDate(at) }),
  });
  return create(PreSharedKeyGenerationSchema, {
    generation: row.generation,
    createdAt: timestampFromDate(row.createdAt),
    deliveries: [delivery(partyA, row.acknowledgedAAt), delivery(partyB, row.acknowledgedBAt)],
    state,
    ...(retiresAt === undefined ? {} : { retiresAt: timestampFromDate(retiresAt) }),
  });
}
