import { createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import {
  acceptSession,
  acceptTicket,
  createGroup,
  createReplayCache,
  groupKeys,
  joinGroup,
  leaveGroup,
  openSession,
  registerRecipient,
  requestSessionKey,
} from "@claviger/client";
import { compactJws, keyDigest, sealTicket, signingInput } from "@claviger/key-ticket";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { createRecipient } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { type StatementFields, signRequest } from "@claviger/signed-request";
import { beforeAll, describe, expect, test } from "vitest";
import { type EnrolledClient, unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { certifyByAnotherCa, clientAs, expectCalmServices, kindsOf, stolenDirectory } from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);
const { claviger } = house;
let billing: EnrolledClient;
let ledger: EnrolledClient;
let thief: EnrolledClient;
const administrator = `spiffe://${house.trustDomain}/user/administrator`;

beforeAll(async () => {
  [billing, ledger, thief] = (await Promise.all(
    ["billing", "ledger", "thief"].map((name) => house.enrol(unique(name))),
  )) as [EnrolledClient, EnrolledClient, EnrolledClient];
  for (const identity of [billing, ledger, thief]) await registerRecipient(identity);
  await claviger.sessions.allowSessions({ initiator: billing.uri, peer: ledger.uri });
});

interface Bound {
  record: string;
  mac: Buffer;
}

async function recordOf({ uri }: { uri: string }): Promise<Bound> {
  const [row] = await house.superuser<Bound>(
    "select record, mac from distribution.recipients where identity = $1",
    [uri],
  );
  return row!;
}

function asked(
  as: { uri: string; identity: EnrolledClient["identity"] },
  does: string,
  fields: StatementFields,
  now?: Date,
) {
  return signRequest(as.identity.material, { by: as.uri, does, fields, ...(now && { now }) });
}

const freshKey = async (): Promise<string> =>
  Buffer.from((await createRecipient()).publicKey).toString("base64");

describe("whoever steals the certificate of distribution", () => {
  const directory = stolenDirectory(house, "distribution");
  const generator = () => clientAs(house, directory, KeyDistributionService, "generator");

  test("learns no session key: not by another recipient, a forged one, an old request, or one of its own", async () => {
    using stolen = generator();
    const [peer, mine] = [await recordOf(ledger), await recordOf(thief)];
    const wish = { peer: ledger.uri, recipientKey: await freshKey(), lifetimeSeconds: 60 };
    const genuine = asked(billing, "open-session", wish);
    const forged = {
      record: peer.record.replace(/"publicKey":"[^"]*"/, `"publicKey":"${await freshKey()}"`),
      mac: peer.mac,
    };
    const mineAsPeer = { record: mine.record.replace(thief.uri, ledger.uri), mac: mine.mac };
    const changed = {
      ...genuine,
      statement: genuine.statement.replace(/"recipientKey":"[^"]*"/, `"recipientKey":"${await freshKey()}"`),
    };
    const own = signRequest(claviger.identity.material, {
      by: billing.uri,
      does: "open-session",
      fields: wish,
    });
    const old = asked(billing, "open-session", wish, new Date(Date.now() - 5 * 60_000));
    const calls = [
      { signed: genuine, peer: mine },
      { signed: genuine, peer: forged },
      { signed: genuine, peer: mineAsPeer },
      { signed: changed, peer },
      { signed: own, peer },
      { signed: old, peer },
      { signed: { ...genuine, certificateChain: thief.identity.material.certificateChain }, peer },
      { peer },
    ];
    expect(await kindsOf(calls.map((call) => stolen.issueSessionKey(call)))).toEqual([
      "denied",
      "integrity",
      "integrity",
      "unauthenticated",
      "unauthenticated",
      "failed-precondition",
      "unauthenticated",
      "invalid-argument",
    ]);
    // What it may pass on is sealed to the two who asked, and the same request gets nobody else anything.
    const { ticket } = await stolen.issueSessionKey({ signed: genuine, peer });
    expect(ticket.split(".")).toHaveLength(5);
  });

  test("has no request signed by its own certificate served, nor by one of another CA", async () => {
    using stolen = generator();
    const peer = await recordOf(ledger);
    const wish = { peer: ledger.uri, recipientKey: await freshKey(), lifetimeSeconds: 60 };
    const other = await certifyByAnotherCa(house, [{ uri: billing.uri }]);
    const { TlsIdentity } = await import("@claviger/identity");
    const service = TlsIdentity.load(directory).material;
    const by = `spiffe://${house.trustDomain}/claviger/distribution`;
    const calls = [
      signRequest(service, { by, does: "open-session", fields: wish }),
      signRequest(other, { by: billing.uri, does: "open-session", fields: wish }),
    ].map((signed) => stolen.issueSessionKey({ signed, peer }));
    expect(await kindsOf(calls)).toEqual(["denied", "unauthenticated"]);
  });

  test("makes no pre-shared key, delivery or group without somebody who may", async () => {
    using stolen = generator();
    const [a, b] = [ledger, thief].toSorted((x, y) => (x.uri < y.uri ? -1 : 1)) as [
      EnrolledClient,
      EnrolledClient,
    ];
    const psk = { name: "x", generation: 1, parties: [a.uri, b.uri] };
    const recipients = [await recordOf(a), await recordOf(b)];
    const admin = { uri: administrator, identity: claviger.identity };
    const elsewhere = [await recordOf(billing), await recordOf(thief)];
    const delivery = { name: "system/attestation", version: 0, recipients: [thief.uri], format: "jwe" };
    const calls = [
      stolen.issuePreSharedKey({ signed: asked(thief, "create-psk", psk), recipients }),
      stolen.issuePreSharedKey({ signed: asked(admin, "create-psk", psk), recipients: elsewhere }),
      stolen.advanceGroup({ signed: asked(thief, "create-group", { group: "x" }) }),
      stolen.issueDelivery({
        signed: asked(thief, "deliver-key", delivery),
        recipients: [await recordOf(thief)],
      }),
      stolen.issueDelivery({
        signed: asked(admin, "deliver-key", delivery),
        recipients: [await recordOf(thief)],
      }),
    ];
    expect(await kindsOf(calls)).toEqual(["denied", "denied", "denied", "denied", "denied"]);
  });

  test("signs no statement, derives no group's key, and puts nobody into a group", async () => {
    using cryptography = clientAs(house, directory, CryptographyService, "generator");
    const message = Buffer.from("a statement of its own");
    const direct = [
      cryptography.sign({ name: "system/session-tickets", message }),
      cryptography.mac({ name: "system/session-groups", message }),
    ];
    expect(await kindsOf(direct)).toEqual(["denied", "denied"]);
    using stolen = generator();
    const group = unique("group");
    await createGroup(claviger, group);
    await joinGroup(claviger, group, [billing.uri]);
    const [current] = await house.superuser<Bound>(
      "select record, mac from distribution.key_group_generations where name = $1 order by generation desc limit 1",
      [group],
    );
    const { emptyHashes, treeDepth } = await import("@claviger/key-ticket");
    const siblings = emptyHashes.slice(0, treeDepth).map((hash) => Buffer.from(hash));
    const place = { members: [{ identity: thief.uri, joined: 2 }], siblings };
    const recipient = await recordOf(thief);
    const empty = { members: [], siblings };
    const root = { record: current!.record.replace(/"generation":2/, '"generation":3'), mac: current!.mac };
    const calls = [
      stolen.issueGroupKeys({ current: current!, place, recipient, generations: [current!] }),
      stolen.issueGroupKeys({ current: root, place, recipient, generations: [current!] }),
      stolen.advanceGroup({
        signed: asked(thief, "join-group", { group, members: [thief.uri] }),
        current: current!,
        places: [empty],
      }),
    ];
    expect(await kindsOf(calls)).toEqual(["integrity", "integrity", "denied"]);
  });
});

test("no other service, and no client, may ask the generator for such keys at all", async () => {
  for (const service of ["storage", "rotation", "audit"] as const) {
    using stolen = clientAs(house, stolenDirectory(house, service), KeyDistributionService, "generator");
    expect((await refusalOf(stolen.bindRecipient({}))).kind).toBe("denied");
  }
  using client = clientAs(house, claviger.identity.directory, KeyDistributionService, "generator");
  expect((await refusalOf(client.bindRecipient({}))).kind).toBe("denied");
});

describe("whoever can write the database", () => {
  test("puts no recipient key, rule or member of its own into the place of a genuine one", async () => {
    const victim = await house.enrol(unique("victim"));
    await registerRecipient(victim);
    await claviger.sessions.allowSessions({ initiator: billing.uri, peer: victim.uri });
    const open = () => refusalOf(requestSessionKey(billing, { peer: victim.uri }));
    const own = Buffer.from(await freshKey(), "base64");
    const genuine = await house.superuser<Record<string, unknown>>(
      "select public_key, record, mac, seal from distribution.recipients where identity = $1",
      [victim.uri],
    );
    await house.superuser("update distribution.recipients set public_key = $2 where identity = $1", [
      victim.uri,
      own,
    ]);
    expect(await open()).toMatchObject({ kind: "integrity", message: expect.stringContaining(victim.uri) });
    // A genuine row of somebody else's, under the victim's name.
    await house.superuser(
      `update distribution.recipients r set public_key = t.public_key, record = t.record, mac = t.mac, seal = t.seal
       from distribution.recipients t where r.identity = $1 and t.identity = $2`,
      [victim.uri, thief.uri],
    );
    expect(await open()).toMatchObject({ kind: "integrity" });
    const { mac, public_key: publicKey, record, seal } = genuine[0]!;
    await house.superuser(
      "update distribution.recipients set public_key = $2, record = $3, mac = $4, seal = $5 where identity = $1",
      [victim.uri, publicKey, record, mac, seal],
    );
    await house.superuser(
      `insert into distribution.session_rules (initiator, peer, created_by, created_at, seal)
       select $1, peer, created_by, created_at, seal from distribution.session_rules where initiator = $2 limit 1`,
      [thief.uri, billing.uri],
    );
    const ruled = await refusalOf(requestSessionKey(thief, { peer: ledger.uri }));
    expect(ruled.kind).toBe("integrity");
    await house.superuser("delete from distribution.session_rules where initiator = $1", [thief.uri]);
  });

  test("gets no removed member its key back, by members, by nodes, or by the generation", async () => {
    const group = unique("group");
    await createGroup(claviger, group);
    await joinGroup(claviger, group, [billing.uri, thief.uri]);
    const before = await house.superuser<Record<string, unknown>>(
      "select * from distribution.key_group_members where name = $1 and identity = $2",
      [group, thief.uri],
    );
    const nodes = await house.superuser<{ level: number; place: number; hash: Buffer }>(
      "select level, place, hash from distribution.key_group_nodes where name = $1",
      [group],
    );
    await leaveGroup(claviger, group, [thief.uri]);
    const [row] = before;
    // The genuine row of yesterday, and the whole tree with it.
    await house.superuser(
      "insert into distribution.key_group_members (name, identity, slot, joined, seal) values ($1, $2, $3, $4, $5)",
      [group, thief.uri, row!.slot, row!.joined, row!.seal],
    );
    expect((await refusalOf(groupKeys(thief, { group }))).kind).toBe("integrity");
    for (const { hash, level, place } of nodes) {
      await house.superuser(
        "update distribution.key_group_nodes set hash = $4 where name = $1 and level = $2 and place = $3",
        [group, level, place, hash],
      );
    }
    expect((await refusalOf(groupKeys(thief, { group }))).kind).toBe("integrity");
    // Of the time when it was a member it has the key anyhow; the record of then opens nothing newer.
    await house.superuser(
      `update distribution.key_group_generations n set record = o.record, mac = o.mac
       from distribution.key_group_generations o where n.name = $1 and o.name = $1 and n.generation = 3 and o.generation = 2`,
      [group],
    );
    const stale = await groupKeys(thief, { group }).catch((error: { kind: string }) => error);
    expect(stale).toMatchObject({ kind: "integrity" });
  });
});

async function connected(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [near, far]) socket.on("error", () => undefined);
  return [near, far];
}

/** Between the two sides: what goes by is handed to `touch`, and what that gives goes on. */
function between(from: Socket, to: Socket, touch: (bytes: Buffer) => Buffer): void {
  from.on("data", (bytes: Buffer) => to.write(touch(bytes)));
  from.on("close", () => to.destroy());
}

async function handshakeThrough(touch: { hello?: (b: Buffer) => Buffer; reply?: (b: Buffer) => Buffer }) {
  const [near, nearFar] = await connected();
  const [farNear, far] = await connected();
  between(nearFar, farNear, touch.hello ?? ((bytes) => bytes));
  between(farNear, nearFar, touch.reply ?? ((bytes) => bytes));
  const results = await Promise.allSettled([
    openSession(billing, { peer: ledger.uri, over: near }),
    acceptSession(ledger, { over: far }).catch((error: unknown) => {
      far.destroy();
      throw error;
    }),
  ]);
  for (const socket of [near, nearFar, farNear, far]) socket.destroy();
  return results.map((result) =>
    result.status === "fulfilled" ? "fulfilled" : (result.reason as { kind: string }).kind,
  );
}

describe("whoever sits between two services", () => {
  test("changes neither side's fresh key, nor a confirmation, without being found out", async () => {
    expect(await handshakeThrough({})).toEqual(["fulfilled", "fulfilled"]);
    const flip = (at: number) => (bytes: Buffer) => {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ 1;
      return changed;
    };
    // Length (4), type (1), and then the fresh key.
    const [initiator] = await handshakeThrough({ hello: flip(5 + 3) });
    expect(initiator).toBe("integrity");
    for (const at of [5 + 3, 5 + 32 + 3]) {
      const [kind] = await handshakeThrough({ reply: flip(at) });
      expect(kind).toBe("integrity");
    }
  });

  test("gets nothing from repeating a hello: the ticket is used, and without its key nothing is confirmed", async () => {
    let hello = Buffer.alloc(0);
    await handshakeThrough({
      hello: (bytes) => {
        if (hello.length === 0) hello = Buffer.from(bytes);
        return bytes;
      },
    });
    const [near, far] = await connected();
    near.write(hello);
    expect((await refusalOf(acceptSession(ledger, { over: far }))).kind).toBe("failed-precondition");
    // Even to a replica that has not seen it.
    const [again, other] = await connected();
    again.write(hello);
    const replays = createReplayCache();
    const accepting = refusalOf(acceptSession(ledger, { over: other, replays }));
    await once(again, "data");
    again.write(Buffer.concat([Buffer.from([0, 0, 0, 33, 3]), randomBytes(32)]));
    expect((await accepting).kind).toBe("integrity");
    for (const socket of [near, far, again, other]) socket.destroy();
  });

  test("sends no ticket back to its initiator, nor on to somebody else", async () => {
    using issued = await requestSessionKey(billing, { peer: ledger.uri });
    for (const other of [billing, thief]) {
      expect((await refusalOf(acceptTicket(other, issued.ticket))).kind).toBe("integrity");
    }
    using accepted = await acceptTicket(ledger, issued.ticket);
    expect(accepted.initiator).toBe(billing.uri);
  });
});

test("nobody registers another's key as its own, and a ticket for one name is not taken under another", async () => {
  const [row] = await house.superuser<{ public_key: Buffer }>(
    "select public_key from distribution.recipients where identity = $1",
    [ledger.uri],
  );
  const publicKey = row!.public_key;
  const { expiresAt } = await thief.recipients.beginRecipient({ publicKey });
  const signed = asked(thief, "register-recipient", { publicKey: publicKey.toString("base64") });
  const guess = { signed, challenge: randomBytes(33), ...(expiresAt && { expiresAt }) };
  expect((await refusalOf(thief.recipients.registerRecipient(guess))).kind).toBe("denied");
  // Somebody else's signed registration, brought over one's own connection.
  const theirs = asked(ledger, "register-recipient", { publicKey: publicKey.toString("base64") });
  expect((await refusalOf(thief.recipients.registerRecipient({ ...guess, signed: theirs }))).kind).toBe(
    "denied",
  );
  const wish = asked(billing, "open-session", {
    peer: ledger.uri,
    recipientKey: await freshKey(),
    lifetimeSeconds: 0,
  });
  expect((await refusalOf(thief.sessions.openSession({ signed: wish }))).kind).toBe("denied");
});

test("a ticket that the attacker made itself is refused, whoever signed what it says", async () => {
  const { readFileSync } = await import("node:fs");
  const { join } = await import("node:path");
  const own = createPublicKey(readFileSync(join(ledger.directory, "recipient.pem")));
  const publicKey = own.export({ format: "der", type: "spki" }).subarray(-32);
  using key = SecretBytes.take(Uint8Array.from(randomBytes(32)));
  const input = signingInput(
    {
      v: 1,
      kind: "session",
      algorithm: "hkdf-sha256",
      initiator: billing.uri,
      peer: ledger.uri,
      keyDigest: keyDigest(key),
      nonce: randomBytes(16).toString("base64"),
      notBefore: new Date(Date.now() - 1000).toISOString(),
      notAfter: new Date(Date.now() + 60_000).toISOString(),
    },
    1,
  );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jws = compactJws(
    input,
    sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" }),
  );
  const ticket = await sealTicket(publicKey, jws, key);
  using genuine = await requestSessionKey(billing, { peer: ledger.uri });
  const { certificateChain } = JSON.parse(genuine.ticket) as { certificateChain: string };
  const foreign = await certifyByAnotherCa(house, [{ uri: "urn:claviger:tickets" }]);
  // Under the generator's certificate, another CA's, and the attacker's own genuine one.
  const chains = [certificateChain, foreign.certificateChain, thief.identity.material.certificateChain];
  for (const chain of chains) {
    const text = JSON.stringify({ v: 1, ticket, certificateChain: chain });
    expect((await refusalOf(acceptTicket(ledger, text))).kind).toBe("integrity");
  }
});

test("a hundred hostile tickets are each refused in words, and none uses a genuine one up", async () => {
  using issued = await requestSessionKey(billing, { peer: ledger.uri });
  const { certificateChain, ticket } = JSON.parse(issued.ticket) as {
    certificateChain: string;
    ticket: string;
  };
  const parts = ticket.split(".");
  const texts: string[] = [];
  const add = (changed: unknown): void => {
    texts.push(typeof changed === "string" ? changed : JSON.stringify(changed));
  };
  const whole = { v: 1, ticket, certificateChain };
  for (const text of ["", "{}", "null", "[]", "1", '"x"', "{", "\0", "v".repeat(300_000), ticket]) add(text);
  for (const v of [0, 2, "1", null, -1]) add({ ...whole, v });
  for (const other of [
    "",
    "x",
    1,
    null,
    {},
    certificateChain.slice(0, 300),
    certificateChain.replaceAll("A", "B"),
  ]) {
    add({ ...whole, certificateChain: other });
  }
  const header = (fields: object): string =>
    Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(parts[0]!, "base64url").toString()), ...fields }),
    ).toString("base64url");
  const headers = [
    { alg: "dir" },
    { alg: "none" },
    { alg: "PBES2-HS256+A128KW", p2c: 2 ** 31, p2s: "AAAA" },
    { alg: "A256KW" },
    { alg: "RSA1_5" },
    { enc: "A128CBC-HS256" },
    { enc: "none" },
    { zip: "DEF" },
    { crit: ["exp"] },
    { kid: "x" },
    { kid: 1 },
    { epk: null },
    { epk: { kty: "OKP", crv: "X25519", x: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" } },
    { epk: { kty: "EC", crv: "P-256", x: "AA", y: "AA" } },
    { apu: "AAAA" },
    { jku: "http://127.0.0.1:1/" },
  ];
  for (const fields of headers) add({ ...whole, ticket: [header(fields), ...parts.slice(1)].join(".") });
  for (let part = 0; part < 5; part += 1) {
    for (const value of ["", "A", "!!!!", `${parts[part]}A`]) {
      const changed = parts.with(part, value).join(".");
      if (changed !== ticket) add({ ...whole, ticket: changed });
    }
  }
  for (let at = 7; texts.length < 100; at += 97) {
    const flipped = ticket[at % ticket.length] === "A" ? "B" : "A";
    const changed = ticket.slice(0, at % ticket.length) + flipped + ticket.slice((at % ticket.length) + 1);
    if (changed !== ticket) add({ ...whole, ticket: changed });
  }
  expect(texts.length).toBeGreaterThanOrEqual(100);
  const began = performance.now();
  for (const text of texts) {
    const { kind, message } = await refusalOf(acceptTicket(ledger, text));
    expect(kind, text.slice(0, 200)).toBe("integrity");
    expect(message).toMatch(/^the ticket is refused: /);
  }
  expect(performance.now() - began).toBeLessThan(20_000);
  using accepted = await acceptTicket(ledger, issued.ticket);
  expect(Buffer.from(accepted.key.expose())).toEqual(Buffer.from(issued.key.expose()));
});
