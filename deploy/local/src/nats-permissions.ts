import type { ServiceName } from "./parts.ts";

/** Whom the bus knows: the services, and its operator (this launcher), by the URI in their certificates. */
export type BusUser = ServiceName | "nats";

interface Permission {
  publish: readonly string[];
  subscribe: readonly string[];
}

/** A service reads every event, its own confirmations, and the answers to its own requests. */
function listens(user: ServiceName): readonly string[] {
  return [`_INBOX_${user}.>`, "claviger.events.>", `claviger.confirm.${user}`];
}

/** What a holder of the pull consumer's name may do with it: look at it, ask for more, acknowledge. */
function pulls(stream: string, consumer: string): readonly string[] {
  return [
    `$JS.API.CONSUMER.INFO.${stream}.${consumer}`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
    `$JS.ACK.${stream}.${consumer}.>`,
  ];
}

/** Everything that is not listed is refused by the bus. */
export const busPermissions: Readonly<Record<BusUser, Permission>> = {
  generator: {
    publish: ["claviger.events.generator.>", "claviger.audit.generator"],
    subscribe: listens("generator"),
  },
  storage: {
    publish: ["claviger.events.storage.>", "claviger.audit.storage"],
    subscribe: listens("storage"),
  },
  distribution: {
    publish: ["claviger.events.distribution.>", "claviger.audit.distribution"],
    subscribe: listens("distribution"),
  },
  rotation: {
    publish: ["claviger.events.rotation.>", "claviger.audit.rotation", ...pulls("EVENTS", "rotation")],
    subscribe: listens("rotation"),
  },
  audit: {
    publish: [
      "claviger.events.audit.>",
      "claviger.audit.audit",
      "claviger.confirm.*",
      ...pulls("AUDIT", "audit"),
    ],
    subscribe: listens("audit"),
  },
  // Makes the streams and consumers; it reads no message and publishes none.
  nats: { publish: ["$JS.API.>"], subscribe: ["_INBOX_nats.>"] },
};
