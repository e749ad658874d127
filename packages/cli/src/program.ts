import { Command } from "commander";

interface Loaded {
  register(program: Command): void;
}

interface Group {
  name: string;
  description: string;
  load: () => Promise<Loaded>;
}

const group = (name: string, description: string, load: () => Promise<Loaded>): Group => ({
  name,
  description,
  load,
});

/** In the order of the help. A group's file is loaded when its name is on the line. */
const groups: readonly Group[] = [
  group("init", "make what an installation has only once, on its host", () => import("./commands/init.ts")),
  group("ceremony", "how the root of trust was made", () => import("./commands/ceremony.ts")),
  group("status", "what runs, and how it is", () => import("./commands/status.ts")),
  group("doctor", "what of this host could let keys out", () => import("./commands/doctor.ts")),
  group("keyrings", "make and show keyrings", () => import("./commands/keyrings.ts")),
  group("keys", "a key's life, from creation to destruction", () => import("./commands/keys.ts")),
  group("encrypt", "encrypt with a key", () => import("./commands/encrypt.ts")),
  group("decrypt", "decrypt what was encrypted with a key", () => import("./commands/decrypt.ts")),
  group(
    "reencrypt",
    "encrypt a ciphertext anew with the current version",
    () => import("./commands/reencrypt.ts"),
  ),
  group("sign", "sign with a key", () => import("./commands/sign.ts")),
  group("verify", "verify a signature", () => import("./commands/verify.ts")),
  group("mac", "make the tag of a file", () => import("./commands/mac.ts")),
  group("mac-verify", "verify a tag", () => import("./commands/mac-verify.ts")),
  group("datakey", "a fresh key, and the same encrypted", () => import("./commands/datakey.ts")),
  group("random", "random bytes from the HSM", () => import("./commands/random.ts")),
  group("identities", "admit identities, and end them", () => import("./commands/identities.ts")),
  group("certs", "certificates, the trust bundle, revocation lists", () => import("./commands/certs.ts")),
  group("recipients", "public keys that keys are sealed to", () => import("./commands/recipients.ts")),
  group("sessions", "keys for two that never shared one", () => import("./commands/sessions.ts")),
  group("groups", "keys that a group's members share", () => import("./commands/groups.ts")),
  group("psk", "pre-shared keys for TLS, IKEv2, WireGuard", () => import("./commands/psk.ts")),
  group(
    "deliveries",
    "exportable keys for those who shall have them",
    () => import("./commands/deliveries.ts"),
  ),
  group("access", "who may do what, and why", () => import("./commands/access.ts")),
  group("approvals", "requests that others have to consent to", () => import("./commands/approvals.ts")),
  group("rotation", "when keys rotate, and who has followed", () => import("./commands/rotation.ts")),
  group("backup", "copies of the whole, and their restoring", () => import("./commands/backup.ts")),
  group("audit", "what happened, with proof", () => import("./commands/audit.ts")),
];

export const overview = `claviger runs the whole life of a cryptographic key.

  claviger status                      what runs, and how it is
  claviger keyrings create payments    a border of access, with a key of its own in the HSM
  claviger keys create payments/cards --algorithm aes-256-gcm
  claviger encrypt payments/cards --in card.txt --out card.enc
  claviger audit search                what happened

claviger --help lists every command; claviger COMMAND --help shows examples.
`;

/** The program with those groups that `line` names; the others are there by name, for the help. */
export async function createProgram(line: readonly string[]): Promise<Command> {
  const program = new Command("claviger")
    .description("Claviger's command line")
    .option("--json", "one JSON document on stdout, and nothing else")
    .option("--config <file>", "the claviger.json to use")
    .option("--version", "show the version")
    .configureHelp({ showGlobalOptions: true, helpWidth: 100 })
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  for (const { name, description, load } of groups) {
    if (line.includes(name)) (await load()).register(program);
    else program.command(name).description(description);
  }
  const order = groups.map(({ name }) => name);
  const commands = program.commands as Command[];
  commands.sort((a, b) => order.indexOf(a.name()) - order.indexOf(b.name()));
  return program;
}
