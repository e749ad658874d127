// A consumer of a key that keeps up with its rotations: for each new version it encrypts its data anew,
// and only then says so. Claviger shows who is still behind: npx claviger rotation status
//
//   node examples/rotation-subscriber.ts [keyring/key] [--once]
import { createClaviger } from "@claviger/client";

const name = process.argv.slice(2).find((word) => word !== "--once") ?? "payments/cards";
const once = process.argv.includes("--once");
using claviger = createClaviger();

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

let record = await encrypt(Buffer.from("4111 1111 1111 1111"));
await claviger.subscriptions.subscribe({ name });
console.log(`following ${name}, whose version ${record.version} is in use; Ctrl-C ends this`);

// The stream begins with every rotation that was not acknowledged yet: what happened while this process
// was away is not lost. An event may come twice; doing this twice does no harm.
for await (const event of claviger.subscriptions.watchRotations({ name }, { signal: interrupted.signal })) {
  const { plaintext } = await claviger.cryptography.decrypt({ name, ciphertext: record.ciphertext });
  record = await encrypt(plaintext);
  console.log(`version ${event.version} is there; the record is encrypted with version ${record.version}`);
  await claviger.subscriptions.acknowledgeRotation({ name, version: event.version });
  console.log(`acknowledged ${name}@${event.version}`);
  if (once) break;
}

async function encrypt(plaintext: Uint8Array) {
  const { ciphertext, version } = await claviger.cryptography.encrypt({ name, plaintext });
  return { ciphertext, version };
}
