import type { CallContext } from "@claviger/rpc";
import type { UseReports } from "../use-reports.ts";

/** Once it was done: for the record of this call, and for who used which version how often. */
export function noteUse(
  uses: UseReports,
  context: CallContext<undefined>,
  name: string,
  version: number,
): void {
  context.note({ version });
  uses.count(context.caller.uri, name, version);
}
