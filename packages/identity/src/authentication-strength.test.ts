import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { groupIn, readStrength } from "./authentication-strength.ts";

const directory = mkdtempSync(join(tmpdir(), "claviger-strength-"));
afterAll(() => rmSync(directory, { recursive: true }));

function certificate(...newkey: string[]): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const subject = ["-subj", "/CN=localhost", "-days", "30", "-nodes"];
  execFileSync("openssl", ["req", "-x509", ...newkey, ...subject, "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

const openssl = spawnSync("openssl", ["version"]).status === 0;
const ec = openssl
  ? certificate("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384")
  : undefined;

async function handshake(ecdhCurve: string): Promise<{ server: TLSSocket; end: () => void }> {
  const server = createServer({ ...ec!, ecdhCurve: "auto", minVersion: "TLSv1.3" });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: "127.0.0.1", ca: ec!.cert, servername: "localhost", ecdhCurve });
  const [socket] = (await once(server, "secureConnection")) as [TLSSocket];
  const end = (): void => {
    client.destroy();
    socket.destroy();
    server.close();
  };
  return { server: socket, end };
}

test.skipIf(!openssl).each([
  ["X25519MLKEM768", "X25519MLKEM768"],
  ["X25519", "X25519"],
  ["P-256", "P-256"],
  ["P-521", "P-521"],
])("the server sees that the key exchange was %s", async (group, name) => {
  const { end, server } = await handshake(group);
  try {
    const strength = readStrength(new X509Certificate(ec!.cert).raw, server);
    expect(strength).toMatchObject({ tlsVersion: "TLSv1.3", keyExchange: name });
  } finally {
    end();
  }
});

test.skipIf(!openssl)("a certificate says its key, what it is signed with, and for how long it is", () => {
  expect(readStrength(new X509Certificate(ec!.cert).raw, undefined)).toEqual({
    keyType: "ec",
    keyBits: 384,
    signatureAlgorithm: "ecdsa-with-SHA384",
    lifetimeHours: 720,
    tlsVersion: "",
    keyExchange: "",
  });
  const rsa = certificate("-newkey", "rsa:2048", "-sha256");
  expect(readStrength(new X509Certificate(rsa.cert).raw, undefined)).toMatchObject({
    keyType: "rsa",
    keyBits: 2048,
    signatureAlgorithm: "sha256WithRSAEncryption",
  });
});

test.skipIf(!openssl)(
  "the session's encoding, which holds its secret, is zeroed once it was read",
  async () => {
    const { end, server } = await handshake("X25519");
    let encoded: Buffer | undefined;
    const session = {
      getProtocol: () => server.getProtocol(),
      getSession: () => {
        encoded = server.getSession();
        return encoded;
      },
    };
    try {
      readStrength(new X509Certificate(ec!.cert).raw, session);
      expect(encoded!.length).toBeGreaterThan(40);
      expect(encoded!.every((byte) => byte === 0)).toBe(true);
    } finally {
      end();
    }
  },
);

test("whatever bytes stand for a session, a group is read or none, without an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(["undefined", "number"]).toContain(typeof groupIn(bytes));
    }),
  );
  expect(groupIn(Uint8Array.of(0x30, 0x05, 0xb3, 0x03, 0x02, 0x01, 0x1d))).toBe(0x1d);
  expect(groupIn(Uint8Array.of(0x30, 0x05, 0xb3, 0x03, 0x02, 0x7f, 0x1d))).toBeUndefined();
});
