import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { buildCertificate, encodePem, randomSerial } from "@claviger/x509";
import { beforeAll, expect, test } from "vitest";
import { RequestVerifier, readStatement, signRequest } from "./index.ts";

const trustDomain = "x.example";
const uri = (name: string): string => `spiffe://${trustDomain}/workload/${name}`;
const minute = 60_000;
const now = new Date("2026-01-31T12:00:00Z");

interface Pair {
  privateKey: KeyObject;
  publicKey: KeyObject;
}

const pair = (): Pair => generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = ({ publicKey }: Pair): Buffer => publicKey.export({ type: "spki", format: "der" });

async function certify(subject: Pair, issuer: Pair, names: string[] | undefined): Promise<string> {
  const certificate = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: { commonName: "root" },
    subject: names === undefined ? { commonName: "root" } : {},
    notBefore: new Date(now.getTime() - 60 * minute),
    notAfter: new Date(now.getTime() + 60 * minute),
    subjectPublicKeyInfo: spki(subject),
    keyUsage: names === undefined ? ["keyCertSign"] : ["digitalSignature"],
    ...(names === undefined ? { basicConstraints: { ca: true } } : {}),
    ...(names === undefined ? {} : { subjectAltNames: names.map((name) => ({ uri: name })) }),
    signer: {
      algorithm: "ecdsa-p256-sha256",
      subjectPublicKeyInfo: spki(issuer),
      sign: async (tbs) => sign("sha256", tbs, issuer.privateKey),
    },
  });
  return encodePem("CERTIFICATE", certificate);
}

const [root, leaf] = [pair(), pair()];
const key = leaf.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
let bundle = "";
let certificateChain = "";
let verifier: RequestVerifier;

beforeAll(async () => {
  bundle = await certify(root, root, undefined);
  certificateChain = await certify(leaf, root, [uri("billing")]);
  verifier = new RequestVerifier({ trustDomain, trustBundle: () => bundle });
});

const request = (by = uri("billing"), at = now) =>
  signRequest(
    { key, certificateChain },
    { by, does: "open-session", fields: { peer: uri("ledger") }, now: at },
  );

test("a request is its maker's, for what it asks, and for two minutes", () => {
  const verified = verifier.verify(request(), "open-session", now);
  expect(verified.identity.uri).toBe(uri("billing"));
  expect(verified.fields.peer).toBe(uri("ledger"));
  expect(() => verifier.verify(request(), "deliver-key", now)).toThrow("does not ask to deliver-key");
  for (const minutes of [-3, 3]) {
    const old = request(uri("billing"), new Date(now.getTime() + minutes * minute));
    expect(() => verifier.verify(old, "open-session", now)).toThrow("two minutes");
    // A receipt that is kept is of its time.
    expect(verifier.verify(old, "open-session", now, "kept").identity.name).toBe("billing");
  }
});

test("nothing of it can be changed, and nobody signs in another's name", async () => {
  const genuine = request();
  const changed = { ...genuine, statement: genuine.statement.replace("ledger", "thieve") };
  expect(() => verifier.verify(changed, "open-session", now)).toThrow("not over this request");
  expect(() => verifier.verify(request(uri("ledger")), "open-session", now)).toThrow(
    "who the certificate names",
  );
  const [other, stranger] = [pair(), pair()];
  const foreign = { ...genuine, certificateChain: await certify(leaf, other, [uri("billing")]) };
  expect(() => verifier.verify(foreign, "open-session", now)).toThrow("signed request is not valid");
  const two = { ...genuine, certificateChain: await certify(leaf, root, [uri("billing"), uri("ledger")]) };
  expect(() => verifier.verify(two, "open-session", now)).toThrow("no one identity");
  const borrowed = { ...genuine, certificateChain: await certify(stranger, root, [uri("billing")]) };
  expect(() => verifier.verify(borrowed, "open-session", now)).toThrow("not over this request");
});

test("a certificate that was seen before still ends, and a bundle that changes is read again", async () => {
  let trusted = bundle;
  const changing = new RequestVerifier({ trustDomain, trustBundle: () => trusted });
  expect(changing.verify(request(), "open-session", now).identity.name).toBe("billing");
  const late = new Date(now.getTime() + 61 * minute);
  expect(() => changing.verify(request(uri("billing"), late), "open-session", late)).toThrow("not valid now");
  const other = pair();
  trusted = await certify(other, other, undefined);
  expect(() => changing.verify(request(), "open-session", now)).toThrow("signed request is not valid");
});

test("a statement has one text: repeated names, blanks and what no statement holds are refused", () => {
  const { statement } = request();
  expect(readStatement(statement, "open-session").by).toBe(uri("billing"));
  const others = [
    "",
    "null",
    "[]",
    ` ${statement}`,
    statement.replace(`"v":1`, `"v":2`),
    statement.replace("{", `{"by":"x",`),
    statement.replace(`"v":1`, `"v":1,"z":null`),
    statement.replace(`"v":1`, `"v":1,"z":1.5`),
    statement.replace(`"v":1`, `"v":1,"z":[1]`),
  ];
  for (const text of others) expect(() => readStatement(text, "open-session"), text).toThrow();
});
