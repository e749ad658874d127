import { DomainError } from "@claviger/domain-error";
import { checkDetails, checkLabelName, concealDetails, detailsOf, indexDetails } from "./key-details.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { type KeyRow, updateKey } from "./store/keys.ts";

export interface DescriptionChange {
  labels: Readonly<Record<string, string>>;
  removeLabels: readonly string[];
  owner?: string | undefined;
  description?: string | undefined;
}

/** Changes what is said of a key, whatever its state: also a destroyed one is looked up. */
export async function describe(registry: Registry, key: KeyRow, change: DescriptionChange): Promise<KeyRow> {
  const { description, owner, removeLabels } = change;
  const nothing = Object.keys(change.labels).length + removeLabels.length === 0;
  if (nothing && owner === undefined && description === undefined) {
    throw new DomainError(
      "invalid-argument",
      "nothing is to be changed: give labels, an owner or a description",
    );
  }
  for (const name of removeLabels) checkLabelName(name);
  const before = detailsOf(registry.columns, key);
  const labels = { ...before.labels, ...change.labels };
  for (const name of removeLabels) delete labels[name];
  const after = {
    createdBy: before.createdBy,
    owner: owner ?? before.owner,
    description: description ?? before.description,
    labels,
  };
  checkDetails(after);
  const details = concealDetails(registry.columns, key.id, after);
  const next = await updateKey(registry.tx, registry.sealer, { ...key, owner: "", details });
  await indexDetails(registry, next);
  await publish(registry, "key.described", fullName(key), { keyId: key.id });
  // Conditions of roles may ask about both.
  await publish(registry, "access.changed", "descriptions");
  return next;
}
