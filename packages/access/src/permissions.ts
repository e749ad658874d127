/** Everything that a role can permit. A policy row names one of these. */
export const permissions = [
  "keyrings.create",
  "keyrings.get",
  "keys.create",
  "keys.get",
  "keys.rotate",
  "keys.change-state",
  "keys.destroy",
  "keys.restore",
  "keys.configure",
  "keys.hold",
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
  "keys.import",
  "keys.export",
  "random.generate",
  "access.get",
  "access.grant",
  "identities.enroll",
  "identities.get",
  "identities.revoke",
  "certificates.issue",
  "certificates.get",
  "certificates.revoke",
  "rotation.get",
  "rotation.subscribe",
  "audit.read",
  "system.status",
] as const;
export type Permission = (typeof permissions)[number];

export function isPermission(value: string): value is Permission {
  return (permissions as readonly string[]).includes(value);
}
