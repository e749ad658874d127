// A service that keeps card numbers encrypted: what it stores is useless to whoever steals the database,
// and a ciphertext moved to another customer's row does not open there.
//
//   node examples/encrypt-record.ts [keyring/key]
import { createClaviger } from "@claviger/client";

const name = process.argv[2] ?? "payments/cards";
using claviger = createClaviger();

interface Row {
  customer: string;
  card: Uint8Array;
}

/** What must be true of the row for it to open again; it is not secret, and not in the ciphertext. */
const contextOf = (customer: string): Uint8Array => Buffer.from(`cards/v1/customer/${customer}`);

async function encryptCard(customer: string, card: string): Promise<Row> {
  const { ciphertext } = await claviger.cryptography.encrypt({
    name,
    plaintext: Buffer.from(card, "utf8"),
    associatedData: contextOf(customer),
  });
  return { customer, card: ciphertext };
}

async function decryptCard(row: Row): Promise<string> {
  const { plaintext } = await claviger.cryptography.decrypt({
    name,
    ciphertext: row.card,
    associatedData: contextOf(row.customer),
  });
  return Buffer.from(plaintext).toString("utf8");
}

const row = await encryptCard("17", "4111 1111 1111 1111");
console.log(`stored for customer ${row.customer}: ${Buffer.from(row.card).toString("base64")}`);
console.log(`read back: ${await decryptCard(row)}`);

try {
  await decryptCard({ ...row, customer: "18" });
  throw new Error("a moved ciphertext opened: this must never happen");
} catch (error) {
  const { kind, message } = error as { kind?: string; message: string };
  if (kind !== "integrity") throw error;
  console.log(`moved to customer 18 it is refused: ${message}`);
}
