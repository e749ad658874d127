import { readFileSync } from "node:fs";
import { shareProof } from "./shares.ts";

// Prints what shows that somebody holds the share which comes on standard input: the command line itself never reads it.
process.stdout.write(shareProof(readFileSync(0, "utf8")).toString("base64"));
