import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import {
  acceptSession,
  acceptTicket,
  openSession,
  registerRecipient,
  requestSessionKey,
} from "@claviger/client";
import { createRecipient } from "@claviger/sealed-secret";
import { signRequest } from "@claviger/signed-request";
import { beforeAll, describe, expect, test } from "vitest";
import { type EnrolledClient, unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const at = (name: string): string => join(house.workDirectory, unique(name));
let billing: EnrolledClient;
let ledger: EnrolledClient;
let stranger: EnrolledClient;

beforeAll(async () => {
  [billing, ledger, stranger] = (await Promise.all(
    ["billing", "ledger", "stranger"].map((name) => house.enrol(unique(name))),
  )) as [EnrolledClient, EnrolledClient, EnrolledClient];
  for (const identity of [billing, ledger, stranger]) await registerRecipient(identity);
  await house.claviger.sessions.allowSessions({ initiator: billing.uri, peer: ledger.uri });
});

/** A connection between two, and nothing else. */
async function connected(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  return [near, far];
}

async function session(lifetimeSeconds?: number) {
  const [near, far] = await connected();
  const wanted = { peer: ledger.uri, over: near };
  const [opened, accepted] = await Promise.all([
    openSession(billing, lifetimeSeconds === undefined ? wanted : { ...wanted, lifetimeSeconds }),
    acceptSession(ledger, { over: far }),
  ]);
  return { opened, accepted, near, far };
}

describe("on the command line", { timeout: 180_000 }, () => {
  test("two identities get the same key, in files of their own alone, and the ticket works once", async () => {
    const [key, ticket, other] = [at("key"), at("ticket"), at("key")];
    const opened = await house.cli(
      ["sessions", "open", ledger.uri, "--out-key", key, "--out-ticket", ticket, "--json"],
      { config: billing.configPath },
    );
    expect(opened.code, opened.stderr).toBe(0);
    expect(opened.json()).toMatchObject({ initiator: billing.uri, peer: ledger.uri, outKey: key });
    const accept = ["sessions", "accept", "--ticket", ticket, "--out-key", other, "--json"];
    const accepted = await house.cli(accept, { config: ledger.configPath });
    expect(accepted.code, accepted.stderr).toBe(0);
    expect(readFileSync(other)).toEqual(readFileSync(key));
    expect(readFileSync(key)).toHaveLength(32);
    for (const file of [key, other]) expect(statSync(file).mode & 0o777).toBe(0o600);
    const again = await house.cli(accept, { config: ledger.configPath });
    expect(again.code).toBe(5);
    expect(again.stdout).toBe("");
    expect(JSON.parse(again.stderr).error).toMatchObject({ kind: "failed-precondition" });
    for (const config of [stranger.configPath, billing.configPath]) {
      expect((await house.cli(accept, { config })).code).toBe(5);
    }
  });

  test("whom no rule lets is refused, and hears nothing of the peer", async () => {
    const line = ["sessions", "open", ledger.uri, "--out-key", at("key"), "--out-ticket", at("ticket")];
    const refused = await house.cli(line, { config: stranger.configPath });
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain("no rule lets");
    const nobody = await house.cli(line.with(2, `${unique("nobody")}`), { config: stranger.configPath });
    expect(nobody.code).toBe(4);
  });

  test("rules are made, listed and taken back by administrators alone", async () => {
    const rule = ["allow", unique("one"), "--peer", "workload/many/*"];
    expect((await house.cli(["sessions", ...rule], { config: billing.configPath })).code).toBe(4);
    expect((await house.cli(["sessions", ...rule])).code).toBe(0);
    const listed = (await house.cli(["sessions", "rules", "--json"])).json();
    const peer = `spiffe://${house.trustDomain}/workload/many/*`;
    expect(listed.rules).toContainEqual(expect.objectContaining({ peer }));
    expect((await house.cli(["sessions", "forbid", ...rule.slice(1)])).code).toBe(0);
    expect((await house.cli(["sessions", "forbid", ...rule.slice(1)])).code).toBe(3);
  });
});

describe("in the SDK", () => {
  test("each side knows the other, and what one seals the other opens, once and in order", async () => {
    const { accepted, far, near, opened } = await session();
    expect([opened.peer, accepted.peer]).toEqual([ledger.uri, billing.uri]);
    const first = opened.seal(Buffer.from("first"));
    const second = opened.seal(Buffer.from("second"));
    expect(() => accepted.open(second)).toThrow("next message");
    expect(accepted.open(first).toString()).toBe("first");
    expect(() => accepted.open(first)).toThrow("next message");
    expect(accepted.open(second).toString()).toBe("second");
    expect(opened.open(accepted.seal(Buffer.from("answer"))).toString()).toBe("answer");
    // What was sealed for the other side does not open at its own.
    expect(() => opened.open(opened.seal(Buffer.from("mine")))).toThrow("next message");
    using ours = opened.deriveKey("files");
    using theirs = accepted.deriveKey("files");
    expect(Buffer.from(ours.expose())).toEqual(Buffer.from(theirs.expose()));
    for (const socket of [near, far]) socket.destroy();
  });

  test("a session ends with its ticket, says before when to renew, and another may follow on the connection", async () => {
    const { far, near, opened } = await session(10);
    const left = opened.notAfter.getTime() - Date.now();
    expect(left).toBeLessThanOrEqual(10_000);
    expect(opened.renewAt.getTime()).toBeLessThan(opened.notAfter.getTime() - 2_000);
    const [next, theirs] = await Promise.all([
      openSession(billing, { peer: ledger.uri, over: near }),
      acceptSession(ledger, { over: far }),
    ]);
    expect(theirs.open(next.seal(Buffer.from("on"))).toString()).toBe("on");
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, opened.notAfter.getTime() - Date.now()) + 50),
    );
    expect(() => opened.seal(Buffer.from("late"))).toThrow("ended");
    for (const socket of [near, far]) socket.destroy();
  });

  test("a ticket counts from its beginning to its end, and lives ten seconds to an hour", async () => {
    using issued = await requestSessionKey(billing, { peer: ledger.uri, lifetimeSeconds: 60 });
    const late = new Date(issued.notAfter.getTime());
    const early = new Date(issued.notBefore.getTime() - 120_000);
    for (const now of [late, early]) {
      const { kind } = await refusalOf(acceptTicket(ledger, issued.ticket, { take: () => true }, now));
      expect(kind).toBe("failed-precondition");
    }
    for (const lifetimeSeconds of [9, 3601]) {
      const { kind } = await refusalOf(requestSessionKey(billing, { peer: ledger.uri, lifetimeSeconds }));
      expect(kind).toBe("invalid-argument");
    }
  });

  test("a ticket that was sealed before its recipient took a new key still opens", async () => {
    using issued = await requestSessionKey(billing, { peer: ledger.uri });
    await registerRecipient(ledger, { fresh: true });
    using accepted = await acceptTicket(ledger, issued.ticket);
    expect(Buffer.from(accepted.key.expose())).toEqual(Buffer.from(issued.key.expose()));
    using next = await requestSessionKey(billing, { peer: ledger.uri });
    using nextAccepted = await acceptTicket(ledger, next.ticket);
    expect(nextAccepted.notAfter).toEqual(next.notAfter);
  });

  test("a repeated request gets the same ticket, and its id serves no other", async () => {
    const recipientKey = Buffer.from((await createRecipient()).publicKey).toString("base64");
    const signed = (lifetimeSeconds: number) =>
      signRequest(billing.identity.material, {
        by: billing.uri,
        does: "open-session",
        fields: { peer: ledger.uri, recipientKey, lifetimeSeconds },
      });
    const request = { requestId: randomUUID(), signed: signed(60) };
    const first = await billing.sessions.openSession(request);
    expect(await billing.sessions.openSession(request)).toEqual(first);
    const other = billing.sessions.openSession({ ...request, signed: signed(61) });
    expect((await refusalOf(other)).kind).toBe("invalid-argument");
  });

  test("a rule for all below a name holds for each, until it is taken back", async () => {
    const shop = unique("shop");
    const desk = await house.enrol(`${shop}/desk`);
    await house.claviger.sessions.allowSessions({ initiator: `workload/${shop}/*`, peer: ledger.uri });
    using issued = await requestSessionKey(desk, { peer: ledger.uri });
    expect(issued.initiator).toBe(desk.uri);
    await house.claviger.sessions.forbidSessions({ initiator: `workload/${shop}/*`, peer: ledger.uri });
    expect((await refusalOf(requestSessionKey(desk, { peer: ledger.uri }))).kind).toBe("denied");
  });

  test("who was revoked gets no key, and no key is made for it", async () => {
    const gone = await house.enrol(unique("gone"));
    await registerRecipient(gone);
    for (const [initiator, peer] of [
      [gone.uri, ledger.uri],
      [billing.uri, gone.uri],
    ] as const) {
      await house.claviger.sessions.allowSessions({ initiator, peer });
    }
    await house.claviger.identities.revokeIdentity({ name: gone.uri, reason: "keyCompromise" });
    expect((await refusalOf(requestSessionKey(gone, { peer: ledger.uri }))).kind).toBe("denied");
    expect((await refusalOf(requestSessionKey(billing, { peer: gone.uri }))).kind).toBe("denied");
  });
});
