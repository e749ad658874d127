import { get, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { serviceIdentity } from "@claviger/identity";
import { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { EnrollmentService, IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { GetStatusRequestSchema, StatusService } from "@claviger/proto/status/v1/status_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { useInstallation } from "../harness/installation.ts";
import {
  addressOf,
  callRaw,
  certifyByAnotherCa,
  expectCalmServices,
  services,
  stolenCredentials,
  trustBundleOf,
} from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);

const statusPath = "/claviger.status.v1.StatusService/GetStatus";
const statusRequest = toBinary(GetStatusRequestSchema, create(GetStatusRequestSchema));
const everyService = [
  AuditService,
  CertificateService,
  IdentityService,
  CheckpointService,
  CryptographyService,
  KeyGenerationService,
  KeyringService,
  RotationService,
  SubscriptionService,
  AccessService,
  KeyService,
  KeyMaterialService,
  StatusService,
];

test.each(services)("%s ends a connection that shows no client certificate", async (service) => {
  const answer = await callRaw({
    address: addressOf(house, service),
    path: statusPath,
    body: statusRequest,
    trustBundle: trustBundleOf(house),
  });
  expect(answer.code).toBe(status.UNAVAILABLE);
});

test.each(services)(
  "%s does not believe another CA that certifies the generator's own name",
  async (service) => {
    const uri = serviceIdentity(house.trustDomain, "generator").uri;
    const answer = await callRaw({
      address: addressOf(house, service),
      path: statusPath,
      body: statusRequest,
      credentials: await certifyByAnotherCa(house, [{ uri }]),
    });
    expect(answer.code).toBe(status.UNAVAILABLE);
  },
);

/** Resolves to the protocol that was agreed on, or to why none was. */
function handshake(
  port: number,
  maxVersion: "TLSv1.2" | "TLSv1.3",
  withCertificate: boolean,
): Promise<string> {
  const { certificateChain, key, trustBundle } = stolenCredentials(house, "rotation");
  return new Promise((resolve) => {
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: trustBundle,
      minVersion: "TLSv1.2",
      maxVersion,
      ALPNProtocols: ["h2"],
      checkServerIdentity: () => undefined,
      ...(withCertificate ? { cert: certificateChain, key } : {}),
    });
    socket.once("secureConnect", () => {
      resolve(socket.getProtocol() ?? "");
      socket.destroy();
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

test.each(services)("%s speaks TLS 1.3 and refuses TLS 1.2", async (service) => {
  expect(await handshake(house.ports[service], "TLSv1.3", true)).toBe("TLSv1.3");
  expect(await handshake(house.ports[service], "TLSv1.2", true)).toMatch(/PROTOCOL_VERSION|ECONNRESET/);
});

test("the enrolment listener refuses TLS 1.2", async () => {
  expect(await handshake(house.ports.enrollment, "TLSv1.3", false)).toBe("TLSv1.3");
  expect(await handshake(house.ports.enrollment, "TLSv1.2", false)).toMatch(/PROTOCOL_VERSION|ECONNRESET/);
});

test.each([...services, "enrollment"] as const)("%s does not answer HTTP/2 in the clear", async (name) => {
  const session = connectHttp2(`http://127.0.0.1:${house.ports[name]}`);
  const ended = await new Promise<string>((resolve) => {
    session.once("error", (error) => resolve(error.message));
    session.once("close", () => resolve("closed"));
    const stream = session.request({
      ":method": "POST",
      ":path": statusPath,
      "content-type": "application/grpc",
    });
    stream.once("response", () => resolve("answered"));
    stream.on("error", () => undefined);
    stream.end();
  });
  session.destroy();
  expect(ended).not.toBe("answered");
});

test("the enrolment listener serves Enroll and nothing else: no other method, no health, no reflection", async () => {
  const paths = everyService.flatMap((service) =>
    service.methods.map(({ name }) => `/${service.typeName}/${name}`),
  );
  paths.push(
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    `/${EnrollmentService.typeName}/enroll`,
    `/${EnrollmentService.typeName}/Enroll/`,
    `//${EnrollmentService.typeName}/Enroll`,
  );
  const address = `127.0.0.1:${house.ports.enrollment}`;
  const trustBundle = trustBundleOf(house);
  for (const path of paths) {
    const { code } = await callRaw({ address, path, body: new Uint8Array(), trustBundle });
    expect(code, path).toBe(status.UNIMPLEMENTED);
  }
  const path = `/${EnrollmentService.typeName}/Enroll`;
  const served = await callRaw({ address, path, body: new Uint8Array(), trustBundle });
  expect(served.kind).toBe("invalid-argument");
});

test("a service's own certificate opens nothing on the enrolment listener", async () => {
  const { code } = await callRaw({
    address: `127.0.0.1:${house.ports.enrollment}`,
    path: `/${IdentityService.typeName}/CreateEnrollmentToken`,
    body: new Uint8Array(),
    credentials: stolenCredentials(house, "distribution"),
  });
  expect(code).toBe(status.UNIMPLEMENTED);
});

function http(method: string, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: "127.0.0.1", port: house.ports.publicHttp, method, path, headers },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
      },
    );
    sent.once("error", reject);
    sent.end();
  });
}

test("the public HTTP serves its five artefacts to GET and HEAD", async () => {
  for (const path of ["bundle.pem", "ca/root.cer", "ca/issuing.cer", "crl/root.crl", "crl/issuing.crl"]) {
    expect(await http("GET", `/v1/${path}`), path).toBe(200);
    expect(await http("HEAD", `/v1/${path}`), path).toBe(200);
  }
});

test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])(
  "the public HTTP refuses %s",
  async (method) => {
    expect(await http(method, "/v1/bundle.pem")).toBe(405);
  },
);

test.each([
  "/",
  "/v1",
  "/v1/",
  "/v1/../v1/bundle.pem",
  "/v1/%2e%2e/etc/passwd",
  "/../../../../etc/passwd",
  "//v1/bundle.pem",
  "/v1/bundle.pem/",
  "/v1/bundle.pem?x=1",
  "/v1/bundle.pem%00.cer",
  "/V1/BUNDLE.PEM",
  "/v1/constructor",
  "/__proto__",
  `/${"a".repeat(4000)}`,
])("the public HTTP knows no path %s", async (path) => {
  expect(await http("GET", path)).toBe(404);
});

test("the public HTTP refuses an absolute form that names another host", async () => {
  expect(await http("GET", `http://elsewhere.example/v1/bundle.pem`)).toBe(404);
});

test("the public HTTP refuses huge headers and lives", async () => {
  expect(await http("GET", "/v1/bundle.pem", { "x-huge": "a".repeat(12_000) })).toBe(431);
  expect(await http("GET", "/v1/bundle.pem")).toBe(200);
});

test("the public HTTP ends a request that is smuggled or not HTTP at all", async () => {
  for (const text of [
    "GET /v1/bundle.pem HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "\0\0\0\0\0\0\0\0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ]) {
    const answer = await new Promise<string>((resolve) => {
      const socket = connectTcp(house.ports.publicHttp, "127.0.0.1", () => socket.end(text));
      let heard = "";
      socket.setEncoding("latin1").on("data", (piece: string) => {
        heard += piece;
      });
      socket.once("error", () => resolve(heard));
      socket.once("close", () => resolve(heard));
    });
    expect(answer).not.toMatch(/^HTTP\/1\.1 200/);
  }
  await new Promise((resolve) =>
    get(`http://127.0.0.1:${house.ports.publicHttp}/v1/bundle.pem`, resolve).end(),
  );
});

test("a resumed TLS session does not get past the client certificate", async () => {
  const { certificateChain, key, trustBundle } = stolenCredentials(house, "rotation");
  const options = { host: "127.0.0.1", port: house.ports.storage, ca: trustBundle, ALPNProtocols: ["h2"] };
  const session = await new Promise<Buffer | undefined>((resolve) => {
    const socket = connectTls({
      ...options,
      cert: certificateChain,
      key,
      checkServerIdentity: () => undefined,
    });
    socket.once("session", (ticket) => {
      socket.destroy();
      resolve(ticket);
    });
    socket.once("error", () => resolve(undefined));
    setTimeout(() => resolve(undefined), 2000).unref();
  });
  expect(session, "the server gave a session to resume").toBeDefined();
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const resumed = await new Promise<string>((resolve) => {
    const socket = connectTls({ ...options, session, checkServerIdentity: () => undefined });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "refused"));
    socket.once("close", () => resolve("closed"));
    // TLS 1.3 servers refuse a missing certificate after the client is done: only an answer tells.
    socket.once("secureConnect", () => setTimeout(() => resolve(socket.destroyed ? "closed" : "open"), 300));
  });
  expect(resumed).not.toBe("open");
});
