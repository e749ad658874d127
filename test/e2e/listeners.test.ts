import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect } from "node:tls";
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { useInstallation } from "../harness/installation.ts";
import { rawBidirectional, rawUnary } from "../harness/raw-grpc.ts";

const house = useInstallation();
const identityDirectory = house.layout.administratorDirectory;
const read = (name: string): Buffer => readFileSync(join(identityDirectory, name));
const services = ["storage", "generator", "distribution", "rotation", "audit"] as const;
const quietMilliseconds = 3_000;

interface Meeting {
  protocol: string | null;
  /** What ended it, or undefined where the server would have gone on. */
  refusal: string | undefined;
}

/** Shakes hands and begins HTTP/2; TLS 1.3 tells of a missing certificate only after the handshake. */
function meet(port: number, options: ConnectionOptions): Promise<Meeting> {
  return new Promise((resolve) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      servername: "localhost",
      ca: read("bundle.pem"),
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["h2"],
      ...options,
    });
    let protocol: string | null = null;
    let timer: NodeJS.Timeout | undefined;
    const end = (refusal: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ protocol, refusal });
    };
    timer = setTimeout(() => end(undefined), quietMilliseconds);
    socket.on("secureConnect", () => {
      protocol = socket.getProtocol();
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    });
    socket.on("data", () => end(undefined));
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.on("close", () => end("closed"));
  });
}

describe.each(services)("the listener of %s", (service) => {
  const port = house.ports[service];
  const certificate = { key: read("key.pem"), cert: read("cert.pem") };

  test("speaks TLS 1.3 with a certificate, and nothing older", async () => {
    expect(await meet(port, certificate)).toEqual({ protocol: "TLSv1.3", refusal: undefined });
    const older = await meet(port, { ...certificate, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
    expect(older.protocol).toBeNull();
    expect(older.refusal).toContain("PROTOCOL_VERSION");
  });

  test("refuses whoever shows no certificate before a byte of HTTP is exchanged", async () => {
    expect((await meet(port, {})).refusal).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET|closed/);
  });

  test("says that it serves, and tells a certified caller what", async () => {
    const health = await rawUnary({ port, identityDirectory, path: "/grpc.health.v1.Health/Check" });
    expect([...health]).toEqual([0x08, 1]);
    // ServerReflectionRequest { list_services: "*" }
    const listing = await rawBidirectional({
      port,
      identityDirectory,
      path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      request: Uint8Array.of(0x3a, 1, 0x2a),
    });
    const names = listing.toString("latin1").match(/claviger\.[a-z0-9.]+\.[A-Za-z]+Service/g) ?? [];
    expect(names).toContain("claviger.status.v1.StatusService");
    expect(names.some((name) => name.startsWith(`claviger.${service}.v1.`))).toBe(true);
  });
});

test("the listener for enrolment takes callers without a certificate, and serves nothing but Enroll", async () => {
  const port = house.ports.enrollment;
  const anonymous = { port, identityDirectory, anonymous: true };
  expect(await meet(port, {})).toEqual({ protocol: "TLSv1.3", refusal: undefined });
  expect((await meet(port, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" })).protocol).toBeNull();
  const enroll = rawUnary({ ...anonymous, path: "/claviger.distribution.v1.EnrollmentService/Enroll" });
  await expect(enroll).rejects.not.toMatchObject({ code: status.UNIMPLEMENTED });
  for (const path of [
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/claviger.distribution.v1.CertificateService/GetTrustBundle",
    "/claviger.distribution.v1.IdentityService/ListIdentities",
    "/claviger.status.v1.StatusService/GetStatus",
  ]) {
    await expect(rawUnary({ ...anonymous, path }), path).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
    });
  }
});

test("the five services show five different identities, and the client insists on the right one", async () => {
  const uris = await Promise.all(
    services.map(
      (service) =>
        new Promise<string>((resolve, reject) => {
          const socket = connect({
            host: "127.0.0.1",
            port: house.ports[service],
            servername: "localhost",
            ca: read("bundle.pem"),
            key: read("key.pem"),
            cert: read("cert.pem"),
            checkServerIdentity: () => undefined,
          });
          socket.once("error", reject);
          socket.once("secureConnect", () => {
            resolve(socket.getPeerCertificate().subjectaltname ?? "");
            socket.destroy();
          });
        }),
    ),
  );
  for (const [at, service] of services.entries()) {
    expect(uris[at]).toContain(`URI:spiffe://${house.trustDomain}/claviger/${service}`);
    expect(uris[at]?.match(/URI:/g)?.length).toBe(1);
  }
});
