import { create } from "@bufbuild/protobuf";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { once } from "@claviger/idempotency";
import {
  AddKeyringGenerationResponseSchema,
  type KeyMaterialService,
} from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import {
  addGeneration,
  endGeneration,
  generationHistory,
  materialsOfPage,
  replaceMaterial,
  supersededGenerations,
  supersededMaterial,
} from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import type { Registry } from "../registry.ts";
import { findKeyring } from "../store/keyrings.ts";
import { admitOriginal } from "./admit-original.ts";
import { keyMessage, keyringMessage, versionMessage } from "./messages.ts";

type GenerationHandlers = Pick<
  Handlers<typeof KeyMaterialService, Transaction>,
  | "addKeyringGeneration"
  | "listSupersededGenerations"
  | "listSupersededMaterial"
  | "replaceMaterial"
  | "endKeyringGeneration"
>;

export function generationHandlers(open: (tx: Transaction) => Registry): GenerationHandlers {
  return {
    async addKeyringGeneration(request, context) {
      const registry = open(context.unit);
      const original = await admitOriginal(registry, request.original, "keyrings.rotate", request.keyring);
      const { repeated, response } = await once(
        registry,
        original,
        AddKeyringGenerationResponseSchema,
        async () => {
          const keyring = await findKeyring(context.unit, registry.sealer, checkKeyringName(request.keyring));
          if (keyring === undefined)
            throw new DomainError("not-found", `there is no keyring ${request.keyring}`);
          await addGeneration(registry, request);
          const generations = await generationHistory(registry, keyring.name);
          return create(AddKeyringGenerationResponseSchema, {
            keyring: keyringMessage(keyring, generations),
            added: true,
          });
        },
      );
      context.note({ generation: request.generation });
      return { ...response, added: !repeated };
    },
    async listSupersededGenerations(_request, { unit }) {
      const rows = await supersededGenerations(open(unit));
      return {
        generations: rows.map(({ endedAt, generation, keyring, tokenObjectId }) => ({
          keyring,
          generation,
          tokenObjectId,
          ended: endedAt !== undefined,
        })),
      };
    },
    async listSupersededMaterial({ afterKey, afterVersion, keyring }, { unit }) {
      const after = { key: afterKey, version: afterVersion };
      const registry = open(unit);
      const page = await supersededMaterial(registry, checkKeyringName(keyring), after);
      return {
        materials: page.found.map(({ key, version }) => ({
          key: keyMessage(registry, key),
          version: versionMessage(registry, version, key),
          material: version.material ?? new Uint8Array(),
        })),
        last: page.last,
        endKey: page.end.key,
        endVersion: page.end.version,
        unreadable: page.unreadable,
      };
    },
    async replaceMaterial({ keyring, replacements }, context) {
      const registry = open(context.unit);
      if (replacements.length > materialsOfPage) {
        throw new DomainError(
          "invalid-argument",
          `at most ${materialsOfPage} materials are replaced at once`,
        );
      }
      const replaced: string[] = [];
      for (const one of replacements) {
        if (await replaceMaterial(registry, keyring, one)) replaced.push(`${one.name}@${one.version}`);
      }
      context.note({ replaced: replaced.length, versions: replaced.join(" ") });
      return { replaced: replaced.length };
    },
    async endKeyringGeneration({ destroyed, generation, keyring }, context) {
      const end = { keyring, generation, phase: destroyed ? "destroyed" : "ended" } as const;
      const left = await endGeneration(open(context.unit), end);
      context.note({ generation, phase: end.phase, materialsLeft: left });
      return { materialsLeft: BigInt(left) };
    },
  };
}
