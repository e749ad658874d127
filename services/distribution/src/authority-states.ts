import type { Authority } from "./authorities.ts";
import { publish, type Registry } from "./registry.ts";
import { type AuthorityState, saveAuthorityState } from "./store/authorities.ts";

/** Moves one generation of a CA on. */
export async function moveAuthority(
  registry: Registry,
  { row, slug }: Authority,
  state: AuthorityState,
): Promise<void> {
  const { generation, name } = row;
  await saveAuthorityState(registry.tx, registry.sealer, {
    name,
    generation,
    state,
    changedAt: registry.now,
  });
  await publish(registry, "authority.changed", slug, { name, generation, state });
}
