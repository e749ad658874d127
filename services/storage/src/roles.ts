import { type Permission, permissions } from "@claviger/access";

export interface BuiltInRole {
  readonly description: string;
  readonly permissions: readonly Permission[];
}

/** The three built-in roles. */
export const roles = {
  administrator: {
    description: "does everything, except use Claviger's own system keys",
    permissions,
  },
  user: {
    description: "uses keys in every way that they are for, and follows their rotations; never exports one",
    permissions: [
      "keyrings.get",
      "keys.get",
      "keys.public",
      "keys.encrypt",
      "keys.decrypt",
      "keys.sign",
      "keys.verify",
      "keys.mac",
      "keys.reencrypt",
      "keys.wrap",
      "keys.unwrap",
      "keys.agree",
      "keys.decapsulate",
      "random.generate",
      "rotation.get",
      "rotation.subscribe",
    ],
  },
  auditor: {
    description: "reads everything and uses nothing",
    permissions: [
      "keyrings.get",
      "keys.get",
      "keys.public",
      "access.get",
      "access.review",
      "identities.get",
      "certificates.get",
      "rotation.get",
      "exchange.get",
      "audit.read",
      "system.status",
    ],
  },
} as const satisfies Record<string, BuiltInRole>;

export type RoleName = keyof typeof roles;

export function isRole(name: string): name is RoleName {
  return Object.hasOwn(roles, name);
}
