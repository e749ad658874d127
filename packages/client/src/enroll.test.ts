import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EnrollRequestSchema, EnrollResponseSchema } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { createClaviger } from "./claviger.ts";
import { enroll, enrollWithToken } from "./enroll.ts";
import { parseEnrollmentToken } from "./enrollment-token.ts";
import { createSmallAuthority, type SmallAuthority } from "./test-support/small-authority.ts";
import { writeIdentity } from "./write-identity.ts";

const trustDomain = "claviger.test";
const workload = `spiffe://${trustDomain}/workload/billing`;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Listener {
  address: string;
  tokens: string[];
}

async function serveEnrollment(ca: SmallAuthority, as = "distribution", gives = workload): Promise<Listener> {
  const own = await ca.issue(`spiffe://${trustDomain}/claviger/${as}`);
  const tokens: string[] = [];
  const server = new Server();
  const method = {
    path: "/claviger.distribution.v1.EnrollmentService/Enroll",
    requestStream: false,
    responseStream: false,
    requestSerialize: Buffer.from,
    requestDeserialize: (bytes: Buffer) => fromBinary(EnrollRequestSchema, bytes),
    responseSerialize: Buffer.from,
    responseDeserialize: Buffer.from,
  };
  server.addService(
    { enroll: method } as never,
    {
      enroll: async (
        call: { request: ReturnType<typeof method.requestDeserialize> },
        answer: (e: null, r: unknown) => void,
      ) => {
        tokens.push(call.request.token);
        const certificateChain = await ca.sign(call.request.certificateSigningRequest, gives);
        const response = create(EnrollResponseSchema, {
          identity: gives,
          certificateChain,
          trustBundle: ca.root,
        });
        answer(null, toBinary(EnrollResponseSchema, response));
      },
    } as never,
  );
  const pair = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.certificateChain) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  closing.push(() => server.forceShutdown());
  return { address: `127.0.0.1:${port}`, tokens };
}

async function serveBundle(bundle: string): Promise<string> {
  const server: HttpServer = createServer((_, answer) => answer.end(bundle));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function tokenOf(parts: { e: string; b: string; r: string }): string {
  const body = JSON.stringify({ v: 1, d: trustDomain, ...parts, s: "c2VjcmV0" });
  return `claviger1.${Buffer.from(body).toString("base64url")}`;
}

describe("enrolling", () => {
  it("gives a key and certificate of one's own, which createClaviger reads once they are written", async () => {
    const ca = await createSmallAuthority();
    const stranger = await createSmallAuthority();
    const { address, tokens } = await serveEnrollment(ca);
    const b = await serveBundle(stranger.root + ca.root);
    const token = tokenOf({ e: address, b, r: ca.rootSha256 });
    const joined = await enrollWithToken(`${token}\n`);
    expect(joined.identity).toBe(workload);
    expect(tokens).toEqual([token]);
    const directory = join(mkdtempSync(join(tmpdir(), "claviger-join-")), "billing");
    closing.push(() => rmSync(join(directory, ".."), { recursive: true }));
    writeIdentity(directory, joined);
    expect(statSync(join(directory, "key.pem")).mode & 0o777).toBe(0o600);
    using claviger = createClaviger({ config: join(directory, "claviger.json") });
    expect(claviger.identity.leaf.subjectAltName).toBe(`URI:${workload}`);
    expect(() => claviger.keys).toThrow(expect.objectContaining({ kind: "failed-precondition" }));
    expect(() => writeIdentity(directory, joined)).toThrow(
      expect.objectContaining({ kind: "already-exists" }),
    );
  });

  it("sends nothing to a server whose bundle lacks the token's root", async () => {
    const ca = await createSmallAuthority();
    const stranger = await createSmallAuthority();
    const { address, tokens } = await serveEnrollment(stranger);
    const token = tokenOf({ e: address, b: await serveBundle(stranger.root), r: ca.rootSha256 });
    await expect(enrollWithToken(token)).rejects.toMatchObject({ kind: "integrity" });
    expect(tokens).toEqual([]);
  });

  it("sends nothing to a server of another CA, nor to another service of the right one", async () => {
    const ca = await createSmallAuthority();
    const stranger = await createSmallAuthority();
    for (const listener of [await serveEnrollment(stranger), await serveEnrollment(ca, "rotation")]) {
      const enrollmentAddress = listener.address;
      await expect(
        enroll({ enrollmentAddress, trustBundle: ca.root, trustDomain, secret: "secret" }),
      ).rejects.toMatchObject({ kind: "unauthenticated" });
      expect(listener.tokens).toEqual([]);
    }
  });

  it("refuses a certificate of another trust domain", async () => {
    const ca = await createSmallAuthority();
    const { address } = await serveEnrollment(ca, "distribution", "spiffe://other.test/workload/billing");
    const asked = enroll({ enrollmentAddress: address, trustBundle: ca.root, trustDomain, secret: "secret" });
    await expect(asked).rejects.toMatchObject({ kind: "unauthenticated" });
  });

  it("says that nothing answers where nothing does", async () => {
    const ca = await createSmallAuthority();
    const asked = enroll({
      enrollmentAddress: "127.0.0.1:1",
      trustBundle: ca.root,
      trustDomain,
      secret: "s",
    });
    await expect(asked).rejects.toMatchObject({ kind: "unavailable" });
  });
});

describe("a token", () => {
  const whole = { e: "127.0.0.1:7413", b: "localhost:7423", r: "0".repeat(64) };

  it("is read", () => {
    expect(parseEnrollmentToken(tokenOf(whole))).toEqual({
      trustDomain,
      enrollmentAddress: whole.e,
      bundleAddress: whole.b,
      rootSha256: whole.r,
    });
  });

  it.each([
    ["nothing", ""],
    ["another prefix", tokenOf(whole).replace("claviger1", "claviger2")],
    ["a token that is cut off", tokenOf(whole).slice(0, 80)],
    ["an address that is a URL's", tokenOf({ ...whole, b: "host:80/../" })],
    ["a hash that is none", tokenOf({ ...whole, r: "zz" })],
    ["too long a text", `claviger1.${"A".repeat(5000)}`],
  ])("is not %s, and the error does not repeat it", (_, text) => {
    expect(() => parseEnrollmentToken(text)).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
    expect(() => parseEnrollmentToken(text)).not.toThrow(/c2Vj/);
  });
});
