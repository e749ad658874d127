import { DomainError } from "@claviger/domain-error";
import { type Authorities, type Authority, rootName } from "./authorities.ts";
import { moveAuthority } from "./authority-states.ts";
import type { Registry } from "./registry.ts";
import { listTrust } from "./store/trust.ts";
import { partsWithoutRenewal } from "./trust.ts";

/**
 * Takes trust from one generation of a CA, and of a root's issuing CAs with it. What it issued is revoked in
 * the background. What signs now cannot be distrusted: the next generation has to sign first, and Claviger's
 * own parts have to have certificates of it.
 */
export async function distrustAuthority(
  { authorities, startedAt }: { authorities: Authorities; startedAt: Date },
  registry: Registry,
  { generation, name }: { name: string; generation: number },
): Promise<Authority> {
  const authority = authorities.find(name, generation);
  if (authority === undefined) {
    throw new DomainError("not-found", `there is no generation ${generation} of a CA ${name.slice(0, 40)}`, {
      hint: "claviger certs authorities lists them",
    });
  }
  if (authority.state === "distrusted") return authority;
  const { issuing, root } = authorities.current;
  if ([issuing, root].some(({ slug }) => slug === authority.slug)) {
    throw new DomainError(
      "failed-precondition",
      `the ${authority.slug} CA signs now, and nothing could follow it`,
      {
        hint: "claviger certs rotate-ca first: within seconds the next generation signs, and this one can be distrusted",
      },
    );
  }
  const rows = await listTrust(registry.tx);
  const behind = partsWithoutRenewal(rows, startedAt, issuing.row.generation);
  if (behind.length > 0) {
    throw new DomainError(
      "failed-precondition",
      `${behind.join(", ")} would be cut off: not renewed under the new CA yet`,
      { hint: "they renew by themselves within seconds; claviger certs rotate-ca shows how far that is" },
    );
  }
  for (const fallen of [authority, ...belowOf(authorities, authority)]) {
    if (fallen.state !== "distrusted") await moveAuthority(registry, fallen, "distrusted");
  }
  return authority;
}

function belowOf(authorities: Authorities, { keyId, row }: Authority): Authority[] {
  if (row.name !== rootName) return [];
  return authorities.current.all.filter(
    (ca) => ca.row.name !== rootName && Buffer.compare(ca.issuerKeyId, keyId) === 0,
  );
}
