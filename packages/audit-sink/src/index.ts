export { AuditSpool, type AuditSpoolOptions } from "./audit-spool.ts";
