import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { createServiceClient, renewIdentity, Transport } from "@claviger/client";
import { createColumnCipher } from "@claviger/column-cipher";
import { serviceIdentity } from "@claviger/identity";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { expect, test } from "vitest";
import { addressOf } from "../adversary/attacker.ts";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { posture } = house.claviger;

/** Another TLS library, which knows no post-quantum group. */
async function overClassicGroup(client: EnrolledClient): Promise<{ status: string; message: string }> {
  const { certificateChain, key, trustBundle } = client.identity.material;
  const context = createSecureContext({ ca: trustBundle, cert: certificateChain, key, ecdhCurve: "X25519" });
  const session = connectHttp2(`https://${addressOf(house, "generator")}`, {
    secureContext: context,
    checkServerIdentity: () => undefined,
  });
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": "/claviger.generator.v1.CryptographyService/GenerateRandom",
      "content-type": "application/grpc",
      te: "trailers",
    });
    // size_bytes = 8, in a message of 2 bytes.
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 8]));
    return await new Promise((resolve, reject) => {
      const found: Record<string, unknown> = {};
      const take = (headers: object): void => void Object.assign(found, headers);
      stream.on("response", take);
      stream.on("trailers", take);
      stream.on("error", reject);
      session.on("error", reject);
      stream.resume();
      stream.on("end", () =>
        resolve({
          status: String(found["grpc-status"]),
          message: decodeURIComponent(String(found["grpc-message"] ?? "")),
        }),
      );
    });
  } finally {
    session.close();
  }
}

async function seen(client: EnrolledClient) {
  const { value } = await until(async () => {
    const { identities } = await posture.listPosture({ pageSize: 1000 });
    const own = identities.filter(({ identity }) => identity === client.uri);
    return own.length > 0 ? own : undefined;
  }, 20_000);
  return value;
}

test("how an identity authenticates is seen by the services, key exchange and all, and written once", async () => {
  const client = await house.enrol(unique("seen"), "user", "*");
  for (let count = 0; count < 30; count += 1) await client.cryptography.generateRandom({ sizeBytes: 8 });
  expect(await seen(client)).toMatchObject([
    {
      strength: {
        keyType: "ec",
        keyBits: 256,
        signatureAlgorithm: expect.stringMatching(/sha256/i),
        tlsVersion: "TLSv1.3",
        keyExchange: "X25519MLKEM768",
      },
      below: [],
    },
  ]);
  expect((await overClassicGroup(client)).status).toBe("0");
  await until(async () => (await seen(client)).length === 2, 20_000);
  const exchanges = (await seen(client)).map(({ strength }) => strength?.keyExchange).sort();
  expect(exchanges).toEqual(["X25519", "X25519MLKEM768"]);
  const cipher = createColumnCipher(readFileSync(join(house.stateDirectory, "storage", "seal.key")));
  const rows = await house.superuser("select 1 from storage.identity_strengths where identity = $1", [
    cipher.concealExact("identity_strengths.identity", client.uri).toString("base64url"),
  ]);
  expect(rows).toHaveLength(2);
  const services = (await posture.listPosture({ pageSize: 1000 })).identities.map(({ identity }) => identity);
  expect(services).toContain(serviceIdentity(house.trustDomain, "generator").uri);
});

test("a floor is told of before its day, and from its moment on whoever is below it is refused, and told why", async () => {
  const client = await house.enrol(unique("below"), "user", "*");
  expect((await overClassicGroup(client)).status).toBe("0");
  await until(
    async () => (await seen(client)).some(({ strength }) => strength?.keyExchange === "X25519"),
    20_000,
  );
  const begins = new Date(Math.ceil(Date.now() / 1000) * 1000 + 12_000);
  const raised = await house.cli([
    "access",
    "posture",
    "--floor",
    "key-exchange=post-quantum, tls>=1.3",
    "--from",
    begins.toISOString(),
    "--json",
  ]);
  const { floor } = raised.json();
  try {
    const shown = await house.cli(["access", "posture", "--json"]);
    const own = shown
      .json()
      .identities.filter(({ identity }: { identity: string }) => identity === client.uri);
    expect(own).toMatchObject([
      { strength: { keyExchange: "X25519" }, below: [expect.stringContaining("its key exchange is X25519")] },
    ]);
    expect(own[0].refusedFrom).toContain(begins.toISOString().slice(0, 19));
    expect((await house.cli(["access", "posture"])).stdout).toContain("REFUSED FROM");
    // An answer that is held ends with the moment.
    while (Date.now() < begins.getTime() - 1500) expect((await overClassicGroup(client)).status).toBe("0");
    await until(() => Date.now() > begins.getTime() + 50, 5000);
    const refused = await overClassicGroup(client);
    expect(refused.status).toBe("7");
    expect(refused.message).toContain("authentication is below the floor of");
    expect(refused.message).toContain("its key exchange is X25519, where key-exchange=post-quantum");
    const asked = { identity: client.uri, permission: "random.generate", resource: "*" };
    expect((await house.claviger.access.explainAccess(asked)).reason).toContain("being below the floor");
    // The same certificate over a better connection.
    await client.cryptography.generateRandom({ sizeBytes: 8 });
  } finally {
    await posture.removeFloor({ id: floor.id });
  }
  await until(async () => (await overClassicGroup(client)).status === "0", 5000);
});

/** With another key than the SDK makes, as a client of another make would. */
async function renewWithRsa(client: EnrolledClient): Promise<void> {
  const [keyFile, csrFile] = ["key", "csr"].map((name) => join(house.workDirectory, unique(name))) as [
    string,
    string,
  ];
  const request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=weak", "-outform", "DER"];
  execFileSync("openssl", [...request, "-keyout", keyFile, "-out", csrFile], { stdio: "ignore" });
  const { certificateChain } = await client.certificates.renewCertificate({
    certificateSigningRequest: readFileSync(csrFile),
  });
  client.identity.replaceCertificate(readFileSync(keyFile, "utf8"), certificateChain);
}

test("a floor that begins in years changes no answer until then", async () => {
  const client = await house.enrol(unique("early"), "user", "*");
  const effectiveAt = { seconds: 4_102_444_800n, nanos: 0 };
  const { floor } = await posture.raiseFloor({ requirements: "key-exchange=post-quantum", effectiveAt });
  try {
    expect((await overClassicGroup(client)).status).toBe("0");
    await client.cryptography.generateRandom({ sizeBytes: 8 });
  } finally {
    await posture.removeFloor({ id: floor!.id });
  }
});

test.skipIf(findOpenssl() === undefined)(
  "a floor on certificates refuses everything but their renewal, which brings its holder above it",
  async () => {
    const client = await house.enrol(unique("weak"), "user", "*");
    await renewWithRsa(client);
    const random = () => client.cryptography.generateRandom({ sizeBytes: 8 });
    await random();
    const { floor } = await posture.raiseFloor({ requirements: "rsa>=3072" });
    try {
      await until(async () => (await refusalOf(random())).kind === "denied", 5000);
      const { message } = await refusalOf(random());
      expect(message).toContain("its certificate's key is RSA of 2048 bits, where rsa>=3072 is wanted");
      expect(message).toContain("claviger certs renew");
      expect((await refusalOf(client.keys.listKeys({}))).kind).toBe("denied");
      await renewIdentity(client);
      await random();
    } finally {
      await posture.removeFloor({ id: floor!.id });
    }
  },
);

test("who raises a floor meets it, and what is no floor is refused with what one is", async () => {
  const effectiveAt = { seconds: 4_102_444_800n, nanos: 0 };
  const own = await refusalOf(posture.raiseFloor({ requirements: "ec>=384", effectiveAt }));
  expect(own).toMatchObject({ kind: "failed-precondition" });
  expect(own.message).toContain("who raises a floor meets it: its certificate's key is EC of 256 bits");
  const nonsense = await refusalOf(posture.raiseFloor({ requirements: "tls>=1.3, magic=1" }));
  expect(nonsense).toMatchObject({ kind: "invalid-argument" });
  expect(nonsense.message).toContain('"magic=1" is not a requirement');
});

test("the client of the SDK negotiates a hybrid group, as the floor wants it", async () => {
  const client = await house.enrol(unique("sdk"), "user", "*");
  using transport = new Transport({
    address: addressOf(house, "generator"),
    identity: client.identity,
    serverIdentity: serviceIdentity(house.trustDomain, "generator").uri,
  });
  const { floor } = await posture.raiseFloor({ requirements: "key-exchange=X25519MLKEM768, lifetime<=400d" });
  try {
    const cryptography = createServiceClient(CryptographyService, transport);
    expect((await cryptography.generateRandom({ sizeBytes: 8 })).random).toHaveLength(8);
  } finally {
    await posture.removeFloor({ id: floor!.id });
  }
});
