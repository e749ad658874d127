import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { serviceIdentity } from "@claviger/identity";
import {
  EnrollmentService,
  EnrollRequestSchema,
  EnrollResponseSchema,
} from "@claviger/proto/distribution/v1/identity_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { GetStatusRequestSchema, StatusService } from "@claviger/proto/status/v1/status_pb.ts";
import { readCertificate, type SubjectAltName } from "@claviger/x509";
import { expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import {
  addressOf,
  callRaw,
  certify,
  clientAs,
  expectCalmServices,
  services,
  stolenDirectory,
  trustBundleOf,
} from "./attacker.ts";
import { pemOf, requestFor } from "./hostile-csr.ts";

const house = useInstallation();
expectCalmServices(house);
const { certificates, identities } = house.claviger;
const coveted = serviceIdentity(house.trustDomain, "generator").uri;

test.each([
  "claviger/generator",
  coveted,
  `spiffe://${house.trustDomain}/claviger/x`,
  "spiffe://elsewhere.example/workload/billing",
])("no token invites %s, though an administrator asks", async (name) => {
  expect((await refusalOf(identities.createEnrollmentToken({ name }))).kind).toBe("denied");
});

test.each([
  "",
  "/",
  "../claviger/generator",
  "workload/../claviger/generator",
  "workload/./x",
  "workload//x",
  "user/",
  `spiffe://${house.trustDomain}/CLAVIGER/generator`,
  `spiffe://${house.trustDomain}/claviger%2fgenerator`,
  `spiffe://${house.trustDomain}@elsewhere/workload/x`,
  "workload/a, URI:spiffe://x/claviger/generator",
  "workload/käse",
  "workload/\u202egenerator",
  "workload/a\0b",
  "workload/a\nb",
  `workload/${"a".repeat(300)}`,
])("no token invites the malformed name %j", async (name) => {
  expect((await refusalOf(identities.createEnrollmentToken({ name }))).kind).toBe("invalid-argument");
});

async function enrollRaw(token: string, csr: Uint8Array) {
  const request = create(EnrollRequestSchema, { token, certificateSigningRequest: csr });
  return callRaw({
    address: `127.0.0.1:${house.ports.enrollment}`,
    path: `/${EnrollmentService.typeName}/Enroll`,
    body: toBinary(EnrollRequestSchema, request),
    trustBundle: trustBundleOf(house),
  });
}

test("a request that asks for the generator's name gets the name of its token", async () => {
  const name = unique("thief");
  const { identity, token } = await identities.createEnrollmentToken({ name });
  const { csr } = requestFor([{ uri: coveted }, { dns: "localhost" }], "claviger generator");
  const answer = await enrollRaw(token, csr);
  expect(answer.code).toBe(0);
  const { certificateChain } = fromBinary(EnrollResponseSchema, answer.bytes);
  const leaf = readCertificate(certificateChain.split(/(?<=END CERTIFICATE-----\n)/)[0]!);
  expect(leaf.subjectAltNames).toEqual([{ uri: identity }]);
  expect(new X509Certificate(leaf.der).subject ?? "").not.toContain("generator");
  expect(leaf.isCa).toBe(false);
});

test("a token is used once, and every other one is refused with the same words", async () => {
  const { token } = await identities.createEnrollmentToken({ name: unique("once") });
  expect((await enrollRaw(token, requestFor([]).csr)).code).toBe(0);
  const again = await enrollRaw(token, requestFor([]).csr);
  const unknown = await enrollRaw("a".repeat(43), requestFor([]).csr);
  expect(again.kind).toBe("unauthenticated");
  expect([again.kind, again.details]).toEqual([unknown.kind, unknown.details]);
});

test("of twenty who use one token at once, one gets a certificate", async () => {
  const { token } = await identities.createEnrollmentToken({ name: unique("race") });
  const answers = await Promise.all(Array.from({ length: 20 }, () => enrollRaw(token, requestFor([]).csr)));
  expect(answers.filter(({ code }) => code === 0)).toHaveLength(1);
  expect(answers.filter(({ kind }) => kind === "unauthenticated")).toHaveLength(19);
});

test("a token whose holder sends a broken request is not used up", async () => {
  const { token } = await identities.createEnrollmentToken({ name: unique("clumsy") });
  const { csr } = requestFor([]);
  for (const broken of [
    csr.subarray(0, 40),
    new Uint8Array(),
    Buffer.alloc(20_000, 0x30),
    Buffer.from(csr).fill(0, 60, 70),
  ]) {
    expect((await enrollRaw(token, broken)).kind).toBe("invalid-argument");
  }
  expect((await enrollRaw(token, csr)).code).toBe(0);
});

test.each([
  ["workload", [{ uri: coveted }], "denied"],
  ["workload", [{ uri: "spiffe://elsewhere.example/workload/x" }], "denied"],
  ["workload", [{ uri: `spiffe://${house.trustDomain}/workload/x` }, { uri: coveted }], "invalid-argument"],
  [
    "workload",
    [{ uri: `spiffe://${house.trustDomain}/workload/x` }, { dns: "localhost" }],
    "invalid-argument",
  ],
  ["client", [{ uri: coveted }], "invalid-argument"],
  ["client", [{ uri: coveted.replace("spiffe", "SPIFFE") }], "invalid-argument"],
  ["client", [{ uri: "https://x.example/" }, { uri: coveted }], "invalid-argument"],
  ["server", [{ uri: coveted }], "invalid-argument"],
  ["server", [{ dns: "localhost" }, { uri: coveted }], "invalid-argument"],
  ["service", [{ uri: coveted }], "invalid-argument"],
] as const)("profile %s does not certify %j", async (profile, names, kind) => {
  const { csr } = requestFor(names);
  const refusal = await refusalOf(certificates.issueCertificate({ certificateSigningRequest: csr, profile }));
  expect(refusal.kind).toBe(kind);
});

test.each(["workload", "client", "server"])(
  "`certs issue --profile %s` refuses the generator's name",
  async (profile) => {
    const file = join(house.workDirectory, `${unique("request")}.pem`);
    writeFileSync(file, pemOf(requestFor([{ uri: coveted }]).csr));
    const out = `${file}.cert`;
    const { code, stderr } = await house.cli([
      "certs",
      "issue",
      "--csr",
      file,
      "--profile",
      profile,
      "--out",
      out,
    ]);
    expect([2, 4], stderr).toContain(code);
  },
);

test("a certificate of profile client names nobody to Claviger", async () => {
  const { csr, key } = requestFor([{ email: "mallory@x.example" }], "mallory");
  const { certificateChain } = await certificates.issueCertificate({
    certificateSigningRequest: csr,
    profile: "client",
  });
  const answer = await callRaw({
    address: addressOf(house, "generator"),
    path: `/${StatusService.typeName}/GetStatus`,
    body: new Uint8Array(),
    credentials: {
      key: key.export({ type: "pkcs8", format: "pem" }).toString(),
      certificateChain,
      trustBundle: trustBundleOf(house),
    },
  });
  expect(answer.kind).toBe("unauthenticated");
});

test("a renewal is for the caller's own name, whatever it asks for, and for a fresh key", async () => {
  const client = await house.enrol(unique("renews"));
  const { csr } = requestFor([{ uri: coveted }], "claviger generator");
  const { certificateChain } = await client.certificates.renewCertificate({ certificateSigningRequest: csr });
  const leaf = readCertificate(certificateChain.split(/(?<=END CERTIFICATE-----\n)/)[0]!);
  expect(leaf.subjectAltNames).toEqual([{ uri: client.uri }]);
  const again = await refusalOf(client.certificates.renewCertificate({ certificateSigningRequest: csr }));
  expect(again.kind).toBe("invalid-argument");
});

test("a revoked identity does not renew itself back", async () => {
  const client = await house.enrol(unique("revoked"));
  await identities.revokeIdentity({ name: client.uri, reason: "keyCompromise" });
  const { csr } = requestFor([]);
  const refusal = await refusalOf(client.certificates.renewCertificate({ certificateSigningRequest: csr }));
  expect(["denied", "unauthenticated"]).toContain(refusal.kind);
});

/** Signs with the issuing CA's own key, which the distribution service may use: a thief of its certificate, too. */
async function certifyWithStolenIssuer(names: readonly SubjectAltName[]) {
  using generator = clientAs(house, stolenDirectory(house, "distribution"), CryptographyService, "generator");
  const url = `http://127.0.0.1:${house.ports.publicHttp}/v1/ca/issuing.cer`;
  const issuing = readCertificate(new Uint8Array(await (await fetch(url)).arrayBuffer()));
  return certify({
    names,
    issuer: issuing.subject,
    issuerPem: issuing.x509.toString(),
    trustBundle: trustBundleOf(house),
    signer: {
      algorithm: "ecdsa-p256-sha256",
      subjectPublicKeyInfo: issuing.subjectPublicKeyInfo,
      sign: async (message) => (await generator.sign({ name: "system/ca-issuing", message })).signature,
    },
  });
}

const mine = { uri: `spiffe://${house.trustDomain}/user/administrator` };

test.each<[string, SubjectAltName[]]>([
  ["two URIs", [mine, { uri: coveted }]],
  ["another trust domain", [{ uri: "spiffe://elsewhere.example/user/administrator" }]],
  ["no URI", [{ dns: "administrator" }]],
  ["a URI that is no identity", [{ uri: `https://${house.trustDomain}/user/administrator` }]],
  ["an unknown kind", [{ uri: `spiffe://${house.trustDomain}/admin/administrator` }]],
  [
    "a quoted name beside it",
    [{ dns: "a.example" }, { uri: `spiffe://${house.trustDomain}/user/administrator?x` }],
  ],
])("a certificate of our own CA with %s names nobody", async (_, names) => {
  const credentials = await certifyWithStolenIssuer(names);
  for (const service of services) {
    const answer = await callRaw({
      address: addressOf(house, service),
      path: `/${StatusService.typeName}/GetStatus`,
      body: toBinary(GetStatusRequestSchema, create(GetStatusRequestSchema)),
      credentials,
    });
    expect(answer.kind, `${service}: ${answer.details}`).toBe("unauthenticated");
  }
});
