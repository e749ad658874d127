import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { AuthenticationStrength, Identity } from "@claviger/identity";
import { parseRequirements, requirementsText, shortfalls } from "./authentication-floor.ts";
import { freshFloors } from "./freshness.ts";
import { publish, type Registry } from "./registry.ts";
import { deleteFloor, type FloorRow, floorsMax, insertFloor } from "./store/floors.ts";

/** What a strength comes to under the floors that there are. */
export interface Standing {
  /** What is not met, one sentence each. */
  below: string[];
  /** From when it is refused. */
  refusedFrom: Date | undefined;
}

/** @throws DomainError `integrity` */
export async function standingOf(
  registry: Registry,
): Promise<(strength: AuthenticationStrength | undefined) => Standing> {
  const floors = (await freshFloors(registry)).map((row) => ({
    row,
    requirements: parseRequirements(row.requirements),
  }));
  return (strength) => {
    const unmet = floors
      .map(({ requirements, row }) => ({ row, below: shortfalls(requirements, strength) }))
      .filter(({ below }) => below.length > 0);
    const moments = unmet.map(({ row }) => row.effectiveAt.getTime());
    return {
      below: unmet.map(({ below, row }) => `${below.join(" and ")}, where ${row.requirements} is wanted`),
      refusedFrom: moments.length === 0 ? undefined : new Date(Math.min(...moments)),
    };
  };
}

/** What stands in the way of a caller now, and otherwise when the next floor will. */
export async function judgeStrength(
  registry: Registry,
  strength: AuthenticationStrength | undefined,
): Promise<{ refusal?: string; unchangedMilliseconds?: number }> {
  const { below, refusedFrom } = (await standingOf(registry))(strength);
  if (refusedFrom === undefined) return {};
  const left = refusedFrom.getTime() - registry.now.getTime();
  if (left > 0) return { unchangedMilliseconds: left };
  const day = refusedFrom.toISOString().slice(0, 10);
  return {
    refusal: `authentication is below the floor of ${day}: ${below.join("; ")}. Renew the certificate (claviger certs renew), or bring the TLS library up to date`,
  };
}

/**
 * Who raises a floor has to meet it, whenever it begins: so one administrator at least is left who can take it away.
 * @throws DomainError `failed-precondition`
 */
export async function raiseFloor(
  registry: Registry,
  {
    by,
    effectiveAt,
    requirements,
    strength,
  }: {
    by: Identity;
    requirements: string;
    effectiveAt: Date;
    strength: AuthenticationStrength | undefined;
  },
): Promise<FloorRow> {
  const { now, sealer, tx } = registry;
  const wanted = parseRequirements(requirements);
  const floors = await freshFloors(registry);
  if (floors.length >= floorsMax) {
    throw new DomainError("exhausted", `there are ${floorsMax} floors already`, {
      hint: "take away what others say as well: claviger access posture --remove-floor ID",
    });
  }
  const own = shortfalls(wanted, strength);
  if (own.length > 0) {
    throw new DomainError("failed-precondition", `who raises a floor meets it: ${own.join(" and ")}`, {
      hint: "renew your own certificate first, and do it from where the floor is met",
    });
  }
  const row = {
    id: randomUUID(),
    requirements: requirementsText(wanted),
    effectiveAt: effectiveAt < now ? now : effectiveAt,
    createdBy: by.uri,
    createdAt: now,
  };
  await insertFloor(tx, sealer, row);
  await publish(registry, "access.changed", "floors");
  return row;
}

export async function removeFloor(registry: Registry, id: string): Promise<FloorRow> {
  const row = (await freshFloors(registry)).find((floor) => floor.id === id);
  if (row === undefined) throw new DomainError("not-found", `there is no floor ${id}`);
  await deleteFloor(registry.tx, registry.sealer, row, registry.now);
  await publish(registry, "access.changed", "floors");
  return row;
}
