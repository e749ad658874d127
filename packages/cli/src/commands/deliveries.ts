import { acknowledgeDelivery, deliverKey, fetchDelivery, verifyReceipt } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { secretMode, writeOutput } from "../files.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime, type TimestampLike } from "../plain.ts";
import { everyPage } from "../session.ts";

interface DeliveryView {
  id: string;
  recipient: string;
  name: string;
  version: number;
  receivedAt?: TimestampLike | undefined;
}

export function register(program: Command): void {
  const deliveries = program
    .command("deliveries")
    .description("exportable keys, sealed to those who shall have them, and the receipts that they sign");
  registerSend(deliveries);
  registerReceive(deliveries);
  registerLists(deliveries);
}

function registerSend(deliveries: Command): void {
  defineCommand<{ to: string; format?: string }>(deliveries, {
    usage: "send <keyring/key[@version]>",
    description: "seal an exportable key to registered recipients; takes the right to export it",
    examples: [
      "deliveries send payments/shared --to partner",
      "deliveries send payments/shared@2 --to partner,bank",
    ],
    options: [
      ["--to <identities>", "with commas between", "required"],
      ["--format <F>", "jwe (RFC 7516) or hpke (RFC 9180); jwe by default"],
    ],
    async run(session, positional, { format = "jwe", to }) {
      if (format !== "jwe" && format !== "hpke") {
        throw new DomainError("invalid-argument", `"${format}" is not a format of deliveries`, {
          hint: "formats are jwe and hpke",
        });
      }
      const reference = parseKeyReference(argument(positional), "optional");
      const recipients = await Promise.all(to.split(",").map((name) => session.identityUri(name.trim())));
      const sent = await deliverKey(await session.connect(), { ...reference, recipients, format });
      session.answer({ deliveries: sent }, () => deliveryTable(sent, ""));
    },
  });
}

function registerReceive(deliveries: Command): void {
  defineCommand<{ out: string }>(deliveries, {
    usage: "receive <id>",
    description: "open a key that was delivered to this identity, write it, and sign for it",
    examples: ["deliveries receive 0f8c… --out shared.key"],
    options: [["--out <file>", "raw bytes, or PKCS #8 in DER; readable by you alone", "required"]],
    async run(session, positional, { out }) {
      const claviger = await session.connect();
      using delivered = await fetchDelivery(claviger, argument(positional));
      writeOutput(out, delivered.key.expose(), { mode: secretMode });
      const { name, version } = await acknowledgeDelivery(claviger, delivered);
      session.answer(
        { name, version, out },
        () => `${name}@${version} is in ${out}, and the receipt is signed`,
      );
    },
  });
}

function registerLists(deliveries: Command): void {
  defineCommand(deliveries, {
    usage: "waiting",
    description: "what waits for this identity",
    examples: ["deliveries waiting"],
    async run(session) {
      const { deliveries: service } = await session.connect();
      const found = await everyPage(
        (page) => service.listWaitingDeliveries(page),
        (page) => page.deliveries,
      );
      session.answer({ deliveries: found }, () => deliveryTable(found, "nothing waits for this identity"));
    },
  });
  defineCommand<{ key?: string }>(deliveries, {
    usage: "list",
    description: "what was delivered, to whom, and whether the recipient's receipt is valid",
    examples: ["deliveries list", "deliveries list --key payments/shared"],
    options: [["--key <keyring/key>", "of one key alone"]],
    async run(session, _, { key }) {
      const name = key === undefined ? "" : parseKeyReference(key, "none").name;
      const claviger = await session.connect();
      const found = await everyPage(
        (page) => claviger.deliveries.listDeliveries({ ...page, name }),
        (page) => page.deliveries,
      );
      const shown = found.map((delivery) => ({
        ...delivery,
        receiptValid: verifyReceipt(claviger, delivery),
      }));
      session.answer({ deliveries: shown }, () => deliveryTable(shown, "nothing was delivered"));
    },
  });
}

function deliveryTable(rows: readonly (DeliveryView & { receiptValid?: boolean })[], empty: string): string {
  const receipt = ({ receiptValid, receivedAt }: (typeof rows)[number]): string => {
    if (receivedAt === undefined) return "waits";
    return receiptValid === false ? "THE RECEIPT IS NOT VALID" : `signed ${shortTime(receivedAt)}`;
  };
  return table(
    ["ID", "KEY", "TO", "RECEIPT"],
    rows.map((row) => [row.id, `${row.name}@${row.version}`, shortIdentity(row.recipient), receipt(row)]),
    empty,
  );
}
