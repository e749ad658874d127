import { endQuietlyOnClosedPipe, run } from "./run.ts";

endQuietlyOnClosedPipe();
// Without a handler, Ctrl-C could end the process in the middle of a file.
process.once("SIGINT", () => process.exit(130));
process.exitCode = await run(process.argv.slice(2));
