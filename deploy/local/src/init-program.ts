// What init.ts runs where the services' users can reach the clone: bootstrap, and nothing else.
import { parseArgs } from "node:util";
import { initialise } from "@claviger/bootstrap";
import { isDomainError } from "@claviger/domain-error";
import { ensureAccounts } from "./accounts.ts";
import { layoutOf } from "./layout.ts";
import { decideSettings } from "./local-settings.ts";
import { basePortFrom, portsOf } from "./ports.ts";
import { tokenEnvironment } from "./services.ts";
import { ensureStateDirectories } from "./state-directories.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    state: { type: "string" },
    "known-as": { type: "string" },
    renew: { type: "boolean" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

try {
  const layout = layoutOf(flags.state ?? "", { knownAs: flags["known-as"] });
  const done: string[] = [];
  const onNotice = (message: string): void => {
    done.push(message);
    console.error(`claviger: ${message}`);
  };
  const accounts = await ensureAccounts();
  await ensureStateDirectories(layout, accounts);
  const settings = await decideSettings({
    layout,
    basePort: basePortFrom(process.env),
    trustDomain: process.env.CLAVIGER_TRUST_DOMAIN || undefined,
    onNotice,
  });
  await initialise({
    layout,
    accounts,
    ports: portsOf(settings.basePort),
    trustDomain: settings.trustDomain,
    clone,
    node: process.execPath,
    tokenEnvironment: tokenEnvironment(layout),
    onNotice,
    renew: flags.renew === true,
    acceptToken: process.env.CLAVIGER_ACCEPT_TOKEN || undefined,
  });
  if (done.length === 0) onNotice("all is there, and no certificate has expired: nothing to do");
  if (flags.json) console.log(JSON.stringify({ trustDomain: settings.trustDomain, done }));
  else console.error("claviger: npm start starts it");
} catch (cause) {
  printError(cause);
  process.exitCode = isDomainError(cause, "failed-precondition") ? 5 : 6;
}
