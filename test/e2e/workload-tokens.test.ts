import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { enroll } from "@claviger/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { certificates, identities, tokenIssuers } = house.claviger;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const name = unique("cluster");
const issuer = `https://${name}.example`;
const subject = "system:serviceaccount:payments:billing";
const workload = unique("billing");
let trustBundle = "";

/** A JWT (RFC 7519) as a cluster's API server signs them: ES256 is r‖s. */
function tokenOf(claims: object = {}, key: KeyObject = pair.privateKey): string {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: issuer, aud: ["claviger"], sub: subject, iat: now - 5, exp: now + 600, ...claims };
  const signed = [{ alg: "ES256", kid: "one" }, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function enrolWith(token: string) {
  const enrollmentAddress = `127.0.0.1:${house.ports.enrollment}`;
  return enroll({ enrollmentAddress, trustBundle, trustDomain: house.trustDomain, secret: token });
}

beforeAll(async () => {
  ({ trustBundle } = await certificates.getTrustBundle({}));
  const file = join(house.workDirectory, "jwks.json");
  const key = { ...pair.publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256", use: "sig" };
  writeFileSync(file, JSON.stringify({ keys: [key] }));
  const added = await house.cli([
    ...["identities", "issuers", "add", name, "--issuer", issuer],
    ...["--audience", "claviger", "--jwks", file],
  ]);
  expect(added.code, added.stderr).toBe(0);
  const ruled = await house.cli([
    "identities",
    "issuers",
    "rule",
    name,
    "--claim",
    `sub=${subject}`,
    "--to",
    workload,
  ]);
  expect(ruled.code, ruled.stderr).toBe(0);
});

afterAll(async () => {
  await tokenIssuers.removeTokenIssuer({ name });
});

test("a service account's token enrols the one identity that a rule names, and it works", async () => {
  const joined = await enrolWith(tokenOf());
  expect(joined.identity).toBe(`spiffe://${house.trustDomain}/workload/${workload}`);
  const { identity } = await identities.getIdentity({ name: workload });
  expect(identity).toMatchObject({ state: "active" });
});

test("by the command line it joins as with a one-time token", async () => {
  const [token, bundle] = [join(house.workDirectory, "sa.token"), join(house.workDirectory, "roots.pem")];
  writeFileSync(token, tokenOf());
  writeFileSync(bundle, trustBundle);
  const out = join(house.workDirectory, unique("joined"));
  const line = ["identities", "join", "--token-file", token, "--out", out];
  expect((await house.cli(line)).code).toBe(2);
  const joined = await house.cli([
    ...line,
    "--bundle",
    bundle,
    "--addresses-from",
    house.configPath,
    "--json",
  ]);
  expect(joined.code, joined.stderr).toBe(0);
  expect(JSON.parse(joined.stdout)).toMatchObject({ identity: expect.stringContaining(workload) });
});

test("another signer, audience, issuer or subject enrols nobody", async () => {
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  for (const token of [
    tokenOf({}, stranger),
    tokenOf({ aud: "another" }),
    tokenOf({ iss: "https://evil.example" }),
    tokenOf({ exp: 1 }),
  ]) {
    expect(await refusalOf(enrolWith(token))).toMatchObject({
      kind: "unauthenticated",
      message: "this workload token is not accepted here",
    });
  }
  expect((await refusalOf(enrolWith(tokenOf({ sub: "another" })))).kind).toBe("denied");
});

test("a rule that somebody wrote into the database, or edited, is found out", async () => {
  const administrator = `spiffe://${house.trustDomain}/user/administrator`;
  const [row] = await house.superuser<{ identity: string }>(
    "select identity from distribution.token_rules where issuer_name = $1",
    [name],
  );
  const change = "update distribution.token_rules set identity = $2 where issuer_name = $1";
  await house.superuser(change, [name, administrator]);
  expect((await refusalOf(enrolWith(tokenOf()))).kind).toBe("integrity");
  await house.superuser(change, [name, row!.identity]);
  const [set] = await house.superuser<{ jwks: string }>(
    "select jwks from distribution.token_issuers where name = $1",
    [name],
  );
  const keys = "update distribution.token_issuers set jwks = $2 where name = $1";
  await house.superuser(keys, [name, set!.jwks.replace('"x"', '"y"')]);
  expect((await refusalOf(enrolWith(tokenOf()))).kind).toBe("integrity");
  await house.superuser(keys, [name, set!.jwks]);
});

test("no rule enrols a user or one of Claviger's services, and a revoked identity is not let in again", async () => {
  for (const identity of ["user/administrator", "claviger/generator"]) {
    const call = tokenIssuers.addTokenRule({ issuerName: name, claims: { sub: "x" }, identity });
    expect((await refusalOf(call)).kind).toBe("denied");
  }
  await identities.revokeIdentity({ name: workload, reason: "cessationOfOperation" });
  expect((await refusalOf(enrolWith(tokenOf()))).message).toContain("revoked");
});
