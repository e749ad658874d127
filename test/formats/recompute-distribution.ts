import { createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { importPreSharedKey, type TargetKdf, type TargetProtocol } from "@claviger/client";
import {
  boundRecordBytes,
  climb,
  emptyGroupRoot,
  formatRecord,
  groupKeyInput,
  joinPayload,
  keyDigest,
  openTicket,
  parseRecord,
  placeHash,
  recipientKeyId,
  type Statement,
  signingInput,
  slotOf,
  ticketKeyId,
  verifyStatement,
} from "@claviger/key-ticket";
import { SecretBytes } from "@claviger/secret-bytes";
import { signedBytes } from "@claviger/signed-request";
import { Handshake, transcriptOf } from "../../packages/client/src/exchange/handshake.ts";
import { MembersTree } from "../../services/distribution/src/exchange/members-tree.ts";
import { bytes, type Fields, hex, value } from "./vectors.ts";

const pkcs8Prefix = {
  x25519: "302e020100300506032b656e04220420",
  ed25519: "302e020100300506032b657004220420",
};

function privateKeyOf(kind: keyof typeof pkcs8Prefix, raw: Buffer): KeyObject {
  const key = Buffer.concat([Buffer.from(pkcs8Prefix[kind], "hex"), raw]);
  return createPrivateKey({ key, format: "der", type: "pkcs8" });
}

function rawPublicKey(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
}

function secretFrom(data: Buffer): SecretBytes {
  return SecretBytes.take(Uint8Array.from(data));
}

function signedRequest(fields: Fields) {
  const statement = value(fields, "statement");
  const key = privateKeyOf("ed25519", bytes(fields, "ed25519-key"));
  return { signature: hex(sign(null, signedBytes(statement), key)) };
}

function boundRecord(fields: Fields) {
  const record = value(fields, "record");
  const again = formatRecord(parseRecord(record, record.includes('"kind":"group"') ? "group" : "recipient"));
  const mac = createHmac("sha256", bytes(fields, "binding-key")).update(boundRecordBytes(record)).digest();
  return { record: again, mac: hex(mac) };
}

async function keyTicket(fields: Fields) {
  const privateKey = privateKeyOf("x25519", bytes(fields, "recipient-private-key"));
  const publicKey = rawPublicKey(privateKey);
  const opened = await openTicket(value(fields, "jwe"), privateKey);
  using key = opened.key;
  const statement: Statement = verifyStatement(opened.jws, {
    key,
    kind: "session",
    signer: bytes(fields, "signer"),
  });
  using payload = joinPayload(opened.jws, key);
  return {
    "recipient-public-key": hex(publicKey),
    kid: ticketKeyId(value(fields, "jwe")) === recipientKeyId(publicKey) ? recipientKeyId(publicKey) : "",
    key: hex(key.expose()),
    "key-digest": keyDigest(key),
    jws: `${signingInput(statement, 1)}.${opened.jws.split(".")[2]}`,
    "payload-sha256": hex(createHash("sha256").update(payload.expose()).digest()),
  };
}

function handshake(fields: Fields) {
  const [initiator, peer] = ["initiator-private-key", "peer-private-key"].map((name) =>
    privateKeyOf("x25519", bytes(fields, name)),
  ) as [KeyObject, KeyObject];
  const publicKeys = { initiatorKey: rawPublicKey(initiator), peerKey: rawPublicKey(peer) };
  const statement = value(fields, "statement");
  const side = (privateKey: KeyObject) =>
    new Handshake(
      { key: secretFrom(bytes(fields, "key")), statement },
      { privateKey, publicKey: rawPublicKey(privateKey) },
      publicKeys,
    );
  const [a, b] = [side(initiator), side(peer)];
  const keys = a.keys();
  a.requireConfirmation("peer", b.confirmation("peer").expose());
  return {
    transcript: hex(transcriptOf(statement, publicKeys.initiatorKey, publicKeys.peerKey)),
    "confirm-peer": hex(a.confirmation("peer").expose()),
    "confirm-initiator": hex(b.confirmation("initiator").expose()),
    "key-initiator": hex(keys.fromInitiator.expose()),
    "key-peer": hex(keys.fromPeer.expose()),
    exporter: hex(keys.exporter.expose()),
  };
}

function groupKey(fields: Fields) {
  const key = bytes(fields, "group-key");
  return {
    key: hex(
      createHmac("sha256", key)
        .update(groupKeyInput(value(fields, "record")))
        .digest(),
    ),
  };
}

/** The tree of two members, built as distribution builds it; nothing is read from a database. */
async function groupTree(fields: Fields) {
  const members = ["member-1", "member-2"].map((name) => value(fields, name));
  const empty = { query: async () => [], afterCommit: () => undefined };
  const sealer = { seal: () => Buffer.alloc(0), check: () => undefined };
  const tree = await MembersTree.load(empty, sealer, "sensors", members);
  for (const [at, member] of members.entries()) tree.change(member, at + 2);
  const last = members[1]!;
  const place = tree.placeOf(last);
  return {
    "empty-root": hex(emptyGroupRoot),
    "slot-1": String(slotOf(members[0]!)),
    "slot-2": String(slotOf(last)),
    "leaf-2": hex(placeHash([{ identity: last, joined: 3 }])),
    root: hex(climb(slotOf(last), place.members, place.siblings).at(-1)!),
  };
}

/** RFC 9258 has no vectors: this is a worked example, derived here a second time from the RFC's text alone. */
function pskImport(fields: Fields) {
  using external = secretFrom(bytes(fields, "external-key"));
  const imported = importPreSharedKey(external, {
    externalIdentity: bytes(fields, "external-identity"),
    context: bytes(fields, "context"),
    targetProtocol: value(fields, "target-protocol") as TargetProtocol,
    targetKdf: value(fields, "target-kdf") as TargetKdf,
  });
  const mac = (key: Buffer, ...data: Buffer[]) =>
    createHmac("sha256", key).update(Buffer.concat(data)).digest();
  const epskx = mac(Buffer.alloc(32), bytes(fields, "external-key"));
  const hashed = createHash("sha256").update(imported.importedIdentity).digest();
  const length = imported.key.length;
  const label = Buffer.from("\x11tls13 derived psk", "latin1");
  const info = Buffer.concat([Buffer.of(0, length), label, Buffer.of(32), hashed]);
  const first = mac(epskx, info, Buffer.of(1));
  const again = Buffer.concat([first, mac(epskx, first, info, Buffer.of(2))]).subarray(0, length);
  if (Buffer.compare(again, imported.key.expose()) !== 0) throw new Error("the two derivations differ");
  return { "imported-identity": hex(imported.importedIdentity), "imported-key": hex(imported.key.expose()) };
}

export const recomputeDistribution = {
  "signed-request": signedRequest,
  "bound-record": boundRecord,
  "key-ticket": keyTicket,
  "session-handshake": handshake,
  "group-tree": groupTree,
  "group-key": groupKey,
  "psk-import": pskImport,
  "psk-import-sha384": pskImport,
};
