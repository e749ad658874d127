import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBundle, openConfirmation } from "@claviger/audit-record";
import { readConfigFile } from "@claviger/client";
import { errorKinds } from "@claviger/domain-error";
import {
  formatCheckpointText,
  formatNote,
  openCheckpoint,
  parseNote,
  parseVerifierKey,
  type VerifierKey,
} from "@claviger/merkle";
import { describe, expect, test } from "vitest";
import { formatProof, verifyProofFile } from "../../packages/cli/src/proof-file.ts";
import { formatConfig } from "../../packages/client/src/config-file.ts";
import { stateTable } from "../../packages/lifecycle/src/index.ts";
import { insertEvent } from "../../packages/outbox/src/events.ts";
import { statusOfKind } from "../../packages/rpc/src/errors.ts";
import { combineShares } from "../../services/generator/src/ceremony/shares.ts";
import { parseCiphertext } from "../../services/generator/src/ciphertext.ts";
import { recoveryKeyId } from "../../services/generator/src/hsm/recovery-key.ts";
import { rotatedEvent } from "../../services/rotation/src/handlers/messages.ts";
import { recompute } from "./recompute.ts";
import { bytes, type Fields, hex, readDocument, readText, readVectors, value } from "./vectors.ts";

const vectors = readVectors();

function vector(name: string): Fields {
  const found = vectors.get(name);
  if (found === undefined) throw new Error(`docs/formats.md has no vector ${name}`);
  return found;
}

function logKey(): VerifierKey {
  return parseVerifierKey(value(vector("verifier-key"), "verifier-key"));
}

describe("docs/formats.md", () => {
  test("has a vector for everything that is computed here, and nothing that is not", () => {
    expect([...vectors.keys()].sort()).toEqual(Object.keys(recompute).sort());
  });

  test.each(Object.keys(recompute))("the vector %s is what the code computes", async (name) => {
    const fields = vector(name);
    const computed = await recompute[name]!(fields);
    expect(Object.keys(computed).length).toBeGreaterThan(0);
    expect(fields).toMatchObject(computed);
  });

  test("a ciphertext's offsets are those of the table", () => {
    const fields = vector("ciphertext");
    const whole = bytes(fields, "ciphertext");
    expect(whole.length).toBe(37 + bytes(fields, "plaintext").length + 16);
    expect(hex(whole.subarray(0, 4))).toBe("434c5601");
    expect(hex(whole.subarray(4, 20))).toBe(value(fields, "key-id").replaceAll("-", ""));
    expect(whole.readUInt32BE(20)).toBe(Number(value(fields, "version")));
    expect(whole[24]).toBe(1);
    expect(hex(whole.subarray(25, 37))).toBe(value(fields, "nonce"));
    expect(parseCiphertext(whole)?.sealed).toEqual(whole.subarray(37));
  });

  test("a material envelope's offsets are those of the table", () => {
    for (const name of ["material-envelope", "material-envelope-public"]) {
      const fields = vector(name);
      const whole = bytes(fields, "envelope");
      const [wrapped, publicKey] = [bytes(fields, "wrapped"), bytes(fields, "public-key")];
      expect(hex(whole.subarray(0, 3))).toBe(value(fields, "protection") === "hsm" ? "010201" : "010101");
      expect(whole.readUInt32BE(3)).toBe(Number(value(fields, "keyring-generation")));
      expect(whole.readUInt16BE(7)).toBe(wrapped.length);
      expect(whole.subarray(9, 9 + wrapped.length)).toEqual(wrapped);
      expect(whole.readUInt16BE(9 + wrapped.length)).toBe(publicKey.length);
      expect(whole.length).toBe(11 + wrapped.length + publicKey.length + 32);
    }
  });

  test("what the audit log's vectors carry opens with their key, and with no other", () => {
    const bundle = vector("audit-bundle");
    const key = bytes(bundle, "audit-key");
    const opened = openBundle(bytes(bundle, "message"), value(bundle, "service"), key);
    expect(opened.map(({ leaf }) => leaf)).toEqual([value(bundle, "leaf-1"), value(bundle, "leaf-2")]);
    expect(() => openBundle(bytes(bundle, "message"), "storage", key)).toThrow("authenticator");
    const confirmation = vector("audit-confirmation");
    const ids = openConfirmation(bytes(confirmation, "message"), value(confirmation, "service"), key);
    expect(JSON.stringify(ids)).toBe(value(confirmation, "ids"));
    expect(() => openConfirmation(bytes(bundle, "message"), value(bundle, "service"), key)).toThrow();
  });

  test("the checkpoint is signed by the vector's key, over the text before its empty line", () => {
    const note = readText("checkpoint");
    const key = logKey();
    const { checkpoint } = openCheckpoint(note, [key], key.name);
    const { signatures, text } = parseNote(note);
    expect(formatCheckpointText(checkpoint)).toBe(text);
    expect(formatNote(text, signatures)).toBe(note);
    expect(hex(checkpoint.root)).toBe(value(vector("merkle"), "root"));
    expect(() => openCheckpoint(note.replace("\n3\n", "\n4\n"), [key], key.name)).toThrow("fails");
  });

  test("the proof file verifies offline, is the one text of its proof, and fails with any byte changed", () => {
    const text = readText("proof");
    const { proof, size } = verifyProofFile(Buffer.from(text), logKey());
    expect({ sequence: proof.sequence, size }).toEqual({ sequence: 1, size: 3 });
    expect(formatProof(proof)).toBe(text);
    for (let at = 0; at < text.length; at += 1) {
      const changed = Buffer.from(text);
      changed[at] = changed[at]! ^ 1;
      expect(() => verifyProofFile(changed, logKey())).toThrow();
    }
  });

  test("any two of the three shares are the recovery key", async () => {
    const texts = ["share-1", "share-2", "share-3"].map((name) => readText(name));
    const { "recovery-key": key, "recovery-key-id": id } = vector("recovery-wrap");
    for (const pair of [
      [0, 1],
      [1, 2],
      [2, 0],
    ] as const) {
      using combined = await combineShares(pair.map((at) => texts[at]!));
      expect(hex(combined.expose())).toBe(key);
      expect(recoveryKeyId(combined)).toBe(id);
    }
  });

  test("claviger.json is what is written, and is read back", () => {
    const text = readText("claviger-json");
    const directory = mkdtempSync(join(tmpdir(), "claviger-formats-"));
    try {
      const path = join(directory, "claviger.json");
      writeFileSync(path, text);
      const { addresses, identityDirectory, trustDomain } = readConfigFile(path);
      expect(identityDirectory).toBe(directory);
      expect(formatConfig(trustDomain, addresses)).toBe(text);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("an event is a CloudEvent as shown, but for its random id", async () => {
    const shown = readText("event").trimEnd();
    const { id, data, subject, time } = JSON.parse(shown) as Record<string, string> & { data: object };
    let written: readonly unknown[] = [];
    const transaction = {
      afterCommit: () => undefined,
      async query<Row>(_sql: string, values: readonly unknown[] = []): Promise<Row[]> {
        written = values;
        return [];
      },
    };
    const event = { type: "key.rotated", subject: subject!, time: new Date(time!), data: { ...data } };
    await insertEvent(transaction, "storage", event);
    const [made, on, payload] = written as [string, string, Buffer];
    expect(payload.toString("utf8").replace(made, id!)).toBe(shown);
    expect(on).toBe("claviger.events.storage.key.rotated");
  });

  test("what a subscriber is sent is as shown, its id included", () => {
    const shown = readText("rotated-event").trimEnd();
    const event = JSON.parse(shown) as { id: string; subject: string; time: string; data: { keyId: string } };
    const { "key-id": keyId, uuid, version } = vector("derived-uuid");
    expect(event).toMatchObject({ id: uuid, data: { keyId } });
    const row = {
      keyName: event.subject,
      version: Number(version),
      keyId: event.data.keyId,
      eventId: event.id,
      rotatedAt: new Date(event.time),
    };
    expect(rotatedEvent(row)).toBe(shown);
  });

  test("the table of error kinds is the code's", () => {
    const rows = [...readDocument().matchAll(/^\| `([a-z-]+)` +\| [A-Z_]+ \((\d+)\) +\|/gm)];
    expect(rows.map(([, kind, code]) => [kind, Number(code)])).toEqual(
      errorKinds.map((kind) => [kind, statusOfKind[kind]]),
    );
  });
});

test("docs/ARCHITECTURE.md's table of states is the code's", () => {
  const text = readFileSync(new URL("../../docs/ARCHITECTURE.md", import.meta.url), "utf8").replace(
    / +/g,
    " ",
  );
  const all = stateTable.active.permits;
  for (const [state, { movesTo, permits }] of Object.entries(stateTable)) {
    const listed = permits
      .map((operation) => (operation === "public-key" ? "public key" : operation))
      .join(", ");
    const allowed = permits.length === all.length ? "everything" : listed || "nothing";
    expect(text).toContain(`| ${state} | ${allowed} | ${movesTo.join(", ")}`);
  }
});
