export { createDatabaseAuditedWork, type DatabaseAuditedWork } from "./audited-work.ts";
export { type DomainEvent, insertEvent } from "./events.ts";
export { OutboxRelay, type OutboxRelayOptions } from "./relay.ts";
