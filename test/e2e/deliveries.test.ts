import { readFileSync } from "node:fs";
import { join } from "node:path";
import { deliverKey, fetchDelivery, registerRecipient, verifyReceipt } from "@claviger/client";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { claviger } = house;
const keyring = unique("delivered");
const name = `${keyring}/shared`;
let partner: EnrolledClient;
let bank: EnrolledClient;
const secret = join(house.workDirectory, unique("secret"));

beforeAll(async () => {
  [partner, bank] = (await Promise.all(["partner", "bank"].map((who) => house.enrol(unique(who))))) as [
    EnrolledClient,
    EnrolledClient,
  ];
  for (const identity of [partner, bank]) await registerRecipient(identity);
  await claviger.keyrings.createKeyring({ name: keyring });
  await claviger.keyGeneration.createKey({ name, algorithm: "aes-256-gcm", exportable: true });
});

test.each(["jwe", "hpke"] as const)(
  "a key goes to several recipients as %s, and each signs for it",
  async (format) => {
    const sent = await deliverKey(claviger, { name, recipients: [partner.uri, bank.uri], format });
    expect(sent).toHaveLength(2);
    const keys = [];
    for (const [at, as] of [partner, bank].entries()) {
      const out = `${secret}-${format}-${at}`;
      const received = await house.cli(["deliveries", "receive", sent[at]!.id, "--out", out, "--json"], {
        config: as.configPath,
      });
      expect(received.code, received.stderr).toBe(0);
      keys.push(readFileSync(out));
      expect((await refusalOf(fetchDelivery(as, sent[at]!.id))).kind).toBe("failed-precondition");
    }
    expect(keys[0]).toHaveLength(32);
    expect(keys[1]).toEqual(keys[0]);
    const { deliveries } = await claviger.deliveries.listDeliveries({ name });
    const kept = deliveries.filter(({ id }) => sent.some((delivery) => delivery.id === id));
    expect(kept.map((delivery) => verifyReceipt(claviger, delivery))).toEqual([true, true]);
    // A receipt is its recipient's, and about one delivery.
    const [first, second] = kept;
    expect(verifyReceipt(claviger, { ...first!, receipt: second!.receipt! })).toBe(false);
    expect(verifyReceipt(claviger, { ...first!, recipient: second!.recipient })).toBe(false);
  },
);

test("it takes the right to export the key, and a key that was made exportable", async () => {
  expect((await refusalOf(deliverKey(partner, { name, recipients: [partner.uri] }))).kind).toBe("denied");
  await claviger.keyGeneration.createKey({ name: `${keyring}/stays`, algorithm: "aes-256-gcm" });
  const stays = deliverKey(claviger, { name: `${keyring}/stays`, recipients: [partner.uri] });
  expect((await refusalOf(stays)).kind).toBe("failed-precondition");
});

test("nobody fetches or signs for what is another's", async () => {
  const [sent] = await deliverKey(claviger, { name, recipients: [partner.uri] });
  expect((await refusalOf(fetchDelivery(bank, sent!.id))).kind).toBe("denied");
  const waiting = await house.cli(["deliveries", "waiting", "--json"], { config: bank.configPath });
  expect(waiting.json().deliveries).toEqual([]);
  const theirs = await house.cli(["deliveries", "waiting", "--json"], { config: partner.configPath });
  expect(theirs.json().deliveries).toMatchObject([{ id: sent!.id, name, recipient: partner.uri }]);
});

test("a key whose export takes approvals is not delivered", async () => {
  const guarded = unique("guarded");
  await claviger.keyrings.createKeyring({ name: guarded });
  await claviger.keyGeneration.createKey({
    name: `${guarded}/k`,
    algorithm: "aes-256-gcm",
    exportable: true,
  });
  const officers = unique("officers");
  for (const { uri } of [partner, bank]) {
    await claviger.access.addGroupMember({ group: officers, identity: uri });
  }
  const rule = { permission: "keys.export", resource: guarded, required: 1, group: officers };
  await claviger.approvals.setApprovalRule(rule);
  const refused = await refusalOf(deliverKey(claviger, { name: `${guarded}/k`, recipients: [bank.uri] }));
  expect(["denied", "failed-precondition"]).toContain(refused.kind);
});
