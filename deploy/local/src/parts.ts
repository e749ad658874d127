/** The five services, in the order in which they start. */
export const serviceNames = ["storage", "generator", "distribution", "rotation", "audit"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** Services that own a schema of the database. The generator has none: it never meets the database. */
export const databaseServiceNames = ["storage", "distribution", "rotation", "audit"] as const;
export type DatabaseServiceName = (typeof databaseServiceNames)[number];

/** Everything that runs as a process of its own, and under a uid of its own when started as root. */
export const partNames = ["postgresql", "nats", ...serviceNames] as const;
export type PartName = (typeof partNames)[number];

export function hasDatabase(service: ServiceName): service is DatabaseServiceName {
  return (databaseServiceNames as readonly string[]).includes(service);
}
