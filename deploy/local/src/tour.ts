import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const commandMillisecondsMax = 30_000;

export const nextSteps = `
What to type next:
  npx claviger status                          what runs, and how it is
  npx claviger keyrings create payments        a border of access, with a key-encryption key of its own
  npx claviger keys create payments/cards --algorithm aes-256-gcm --protection hsm
  npx claviger random 32                       32 bytes from the HSM
  npx claviger identities enroll my-service    a one-time token for a workload's first certificate
  npx claviger audit search                    every step of all that, with proof
  npx claviger --help                          everything else
`;

interface Step {
  says: string;
  /** After `claviger`; paths of the tour's own files are relative to its directory. */
  command: string;
  /** The exit status that the step is there to show. */
  expects?: number;
}

const steps: readonly Step[] = [
  {
    says: "A keyring is a border of access, with its own key-encryption key in the HSM.",
    command: "keyrings create tour",
  },
  {
    says: "A key that never leaves the HSM in the clear:",
    command: "keys create tour/first --algorithm aes-256-gcm --protection hsm",
  },
  { says: "It is used where it is:", command: "encrypt tour/first --in line.txt --out line.enc" },
  { says: "A new version takes over, and the old one can still decrypt:", command: "keys rotate tour/first" },
  { says: "", command: "decrypt tour/first --in line.enc --out -" },
  { says: "", command: "keys versions tour/first" },
  { says: "Destruction waits for its day, and stops every use at once:", command: "keys destroy tour/first" },
  {
    says: "So this is refused, as it should be:",
    command: "encrypt tour/first --in line.txt --out refused.enc",
    expects: 5,
  },
  { says: "Until that day it can be taken back:", command: "keys restore tour/first" },
  { says: "Each of these steps is in the audit log:", command: "audit search --key tour/first --limit 8" },
  { says: "Here is the proof that one record is in it:", command: "audit proof 20 --out proof.json" },
  { says: "Whoever has it can check it, without any service:", command: "audit verify --offline proof.json" },
];

export interface TourOptions {
  clone: string;
  stateDirectory: string;
  /** Asked between the steps: true ends the tour. */
  interrupted: () => boolean;
}

/** Takes a key through its life before the reader's eyes. A step that fails ends the tour, never the start. */
export async function runTour({ clone, stateDirectory, interrupted }: TourOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "claviger-tour-"));
  try {
    await writeFile(join(directory, "line.txt"), "A line that only this key can read.\n");
    console.log("\nThe life of a key, in twelve steps. Everything stays in the keyring `tour`.");
    for (const step of steps) {
      if (interrupted()) return;
      if (step.says !== "") console.log(`\n${step.says}`);
      console.log(`$ claviger ${step.command}`);
      const status = await runCommand({ clone, stateDirectory, directory, command: step.command });
      if (status === (step.expects ?? 0)) continue;
      console.error(`warning: the tour ends here: this step ended with ${status}, not ${step.expects ?? 0}.`);
      console.error("warning: the installation itself is running; npx claviger status says how it is.");
      return;
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface CommandRequest {
  clone: string;
  stateDirectory: string;
  directory: string;
  command: string;
}

function runCommand({ clone, stateDirectory, directory, command }: CommandRequest): Promise<number | string> {
  return new Promise((resolve) => {
    const child = spawn(join(clone, "bin/claviger"), command.split(" "), {
      cwd: directory,
      env: { ...process.env, CLAVIGER_STATE: stateDirectory },
      stdio: ["ignore", "inherit", "inherit"],
      timeout: commandMillisecondsMax,
    });
    child.once("error", (cause) => resolve(cause.message));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "no status"));
  });
}
