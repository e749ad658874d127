import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { buildCertificateSigningRequest, encodePem, readCertificate, splitChain } from "@claviger/x509";
import { describe, expect, test } from "vitest";
import { requestFor } from "../adversary/hostile-csr.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { authorities, certificates, identities } = house.claviger;
const openssl = findOpenssl();
const base = `http://127.0.0.1:${house.ports.publicHttp}`;
const url = `${base}/v1/ocsp`;
const at = (name: string): string => join(house.workDirectory, name);

interface Issued {
  serial: string;
  leaf: string;
  issuer: string;
  key: ReturnType<typeof requestFor>["key"];
  csr: Uint8Array;
}

async function issue(name = `${unique("status")}.example`): Promise<Issued> {
  const { csr, key } = requestFor([{ dns: name }]);
  const answer = await certificates.issueCertificate({ certificateSigningRequest: csr, profile: "server" });
  const [leaf, issuer] = splitChain(answer.certificateChain).map((der) => encodePem("CERTIFICATE", der));
  const files = { leaf: at(`${answer.serial}.pem`), issuer: at("issuer.pem") };
  writeFileSync(files.leaf, leaf!);
  writeFileSync(files.issuer, issuer!);
  writeFileSync(at("bundle.pem"), (await certificates.getTrustBundle({})).trustBundle);
  return { serial: answer.serial, ...files, key, csr };
}

/** What `openssl ocsp` says, on both of its streams. */
function ask({ issuer, leaf }: Pick<Issued, "issuer" | "leaf">, ...more: string[]): string {
  // The hash counts for what stands after it.
  const line = ["ocsp", ...more, "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", at("bundle.pem")];
  return execFileSync("sh", ["-c", `"$0" "$@" 2>&1`, openssl!, ...line], { encoding: "utf8" });
}

function requestOf({ issuer, leaf }: Issued, ...more: string[]): Buffer {
  return execFileSync(openssl!, ["ocsp", "-issuer", issuer, "-cert", leaf, "-reqout", "-", ...more], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}

async function post(body: Uint8Array): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/ocsp-request" },
    body: Buffer.from(body),
  });
}

const refusal = async (answer: Response): Promise<string> =>
  Buffer.from(await answer.arrayBuffer()).toString("hex");
const malformed = "30030a0101";
const unauthorized = "30030a0106";

describe.skipIf(openssl === undefined)("OCSP", () => {
  test("says good, then on hold, good again, and revoked for good, with reason and time; a CRL check agrees", async () => {
    const issued = await issue();
    for (const more of [[], ["-no_nonce"], ["-sha256", "-no_nonce"]]) {
      const said = ask(issued, ...more);
      expect(said).toContain("Response verify OK");
      expect(said).toContain(": good");
      // A nonce that was sent is in the answer: openssl would warn.
      expect(said).not.toContain("WARNING");
    }
    const revoke = (reason: string) => certificates.revokeCertificate({ serial: issued.serial, reason });
    await revoke("certificateHold");
    expect(ask(issued, "-no_nonce")).toMatch(/: revoked[\s\S]*Reason: certificateHold/);
    expect((await certificates.getCertificate({ serial: issued.serial })).certificate?.state).toBe("on hold");
    expect(crlSays(issued)).toContain("certificate revoked");
    await revoke("removeFromCRL");
    for (const more of [[], ["-no_nonce"]]) expect(ask(issued, ...more)).toContain(": good");
    expect(crlSays(issued)).toContain("OK");
    expect((await refusalOf(revoke("removeFromCRL"))).message).toContain("not on hold");
    await revoke("superseded");
    for (const more of [[], ["-no_nonce"], ["-sha256", "-no_nonce"]]) {
      expect(ask(issued, ...more)).toMatch(/: revoked[\s\S]*Reason: superseded[\s\S]*Revocation Time/);
    }
    expect(crlSays(issued)).toContain("certificate revoked");
    expect((await refusalOf(revoke("removeFromCRL"))).kind).toBe("failed-precondition");
    expect((await refusalOf(revoke("certificateHold"))).kind).toBe("failed-precondition");
  });

  test("says unknown of a serial that was never given, and good of the issuing CA itself", async () => {
    const issued = await issue();
    const line = [
      "ocsp",
      "-issuer",
      issued.issuer,
      "-serial",
      "0x4242",
      "-url",
      url,
      "-CAfile",
      at("bundle.pem"),
    ];
    expect(execFileSync(openssl!, line, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).toContain(
      "unknown",
    );
    const root = at("root.pem");
    writeFileSync(
      root,
      (await authorities.listAuthorities({})).authorities.find(({ name }) => name === "root")!.certificate,
    );
    expect(ask({ issuer: root, leaf: issued.issuer })).toContain(": good");
  });

  test("answers GET with what caches may keep, and not again to whoever knows its ETag", async () => {
    const issued = await issue();
    const encoded = requestOf(issued, "-no_nonce").toString("base64");
    for (const path of [encoded, encodeURIComponent(encoded)]) {
      const first = await fetch(`${url}/${path}`);
      expect(first.status).toBe(200);
      expect(first.headers.get("content-type")).toBe("application/ocsp-response");
      expect(first.headers.get("cache-control")).toMatch(
        /^public, max-age=\d+, no-transform, must-revalidate$/,
      );
      expect(Date.parse(first.headers.get("expires")!)).toBeGreaterThan(Date.now());
      const tag = first.headers.get("etag")!;
      expect((await fetch(`${url}/${path}`, { headers: { "If-None-Match": tag } })).status).toBe(304);
    }
  });

  test("the responder's certificate lives shortly, signs answers only, and need not be asked about", async () => {
    const issued = await issue();
    writeFileSync(at("request.der"), requestOf(issued, "-no_nonce"));
    const answer = Buffer.from(await (await post(requestOf(issued, "-no_nonce"))).arrayBuffer());
    writeFileSync(at("answer.der"), answer);
    const text = execFileSync(openssl!, ["ocsp", "-respin", at("answer.der"), "-resp_text", "-noverify"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(text).toContain("OCSP Signing");
    expect(text).toContain("OCSP No Check");
    expect(text).not.toContain("CRL Distribution Points");
    const responder = readCertificate(/-----BEGIN[\s\S]*-----END CERTIFICATE-----\n/.exec(text)![0]);
    expect(responder.notAfter.getTime() - responder.notBefore.getTime()).toBeLessThan(8 * 86_400_000);
    expect(responder.isCa).toBe(false);
  });

  test("certificates say where to ask", async () => {
    const { leaf } = await issue();
    const text = execFileSync(openssl!, ["x509", "-in", leaf, "-noout", "-text"], { encoding: "utf8" });
    expect(text).toContain(`OCSP - URI:${url}`);
    expect(text).toContain(`CA Issuers - URI:${base}/v1/ca/issuing`);
    expect(text).toContain(`URI:${base}/v1/crl/issuing`);
  });
});

function crlSays({ issuer, leaf }: Issued): string {
  const lists = execFileSync("sh", [
    "-c",
    `for name in issuing root; do curl -s ${base}/v1/crl/$name.crl | "${openssl}" crl -inform DER; done`,
  ]);
  writeFileSync(at("lists.pem"), lists);
  const line = [
    "verify",
    "-crl_check_all",
    "-CRLfile",
    at("lists.pem"),
    "-CAfile",
    at("bundle.pem"),
    "-untrusted",
  ];
  return execFileSync("sh", ["-c", `"$0" "$@" 2>&1; true`, openssl!, ...line, issuer, leaf], {
    encoding: "utf8",
  });
}

describe("a hostile OCSP request", () => {
  test("is answered with five octets, whatever is wrong with it", async () => {
    for (const body of [
      new Uint8Array(0),
      Buffer.from("GET / HTTP/1.1"),
      Buffer.alloc(4096, 0x30),
      Buffer.of(0x30, 0x80, 0, 0),
    ]) {
      expect(await refusal(await post(body))).toBe(malformed);
    }
    for (const path of ["MAA=", "AAAA", "MAMwAQA="]) {
      expect(await refusal(await fetch(`${url}/${path}`))).toBe(malformed);
    }
  });

  test("that is large is refused before it is read, and one of another type or verb too", async () => {
    const large = await post(Buffer.alloc(4097));
    expect(large.status).toBe(413);
    expect((await fetch(url, { method: "POST", body: "x" })).status).toBe(415);
    expect((await fetch(url, { method: "PUT" })).status).toBe(405);
    expect((await fetch(`${url}/`)).status).toBe(400);
    expect((await fetch(`${url}/%zz`)).status).toBe(400);
    // Claims little and sends much, in pieces.
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(house.ports.publicHttp, "127.0.0.1");
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("close", () => resolve(text));
      socket.on("error", (error: NodeJS.ErrnoException) =>
        error.code === "ECONNRESET" || error.code === "EPIPE" ? resolve(text) : reject(error),
      );
      socket.write(
        `POST /v1/ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: application/ocsp-request\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      const piece = `1000\r\n${"0".repeat(4096)}\r\n`;
      socket.write(piece.repeat(50));
    });
    expect(answer).toContain("413");
  });

  test("a flood of unknown serials is signed or told to come later, and those who ask about certificates are answered", async () => {
    if (openssl === undefined) return;
    const issued = await issue();
    const known = requestOf(issued, "-no_nonce");
    expect((await post(known)).status).toBe(200);
    const serial = Buffer.from(issued.serial, "hex");
    // Another issuer's key: nobody here can say anything about it.
    const foreign = Buffer.from(known);
    foreign[foreign.indexOf(serial) - 5]! ^= 1;
    expect(await refusal(await post(foreign))).toBe(unauthorized);
    const unknownOf = (index: number): Buffer => {
      const request = Buffer.from(known);
      const offset = request.indexOf(serial);
      request.writeUInt32BE(index + 1, offset + 4);
      return request;
    };
    const answers: string[] = [];
    for (let index = 0; index < 400; index += 100) {
      const some = Array.from({ length: 100 }, (_, offset) => post(unknownOf(index + offset)).then(refusal));
      answers.push(...(await Promise.all(some)));
    }
    const later = "30030a0103";
    expect(answers.every((hex) => hex === later || hex.startsWith("3082"))).toBe(true);
    expect((await refusal(await post(known))).length).toBeGreaterThan(500);
  });
});

describe("revocation", () => {
  test("with a compromised key every certificate of that key ends, and it gets none again", async () => {
    const { csr, serial } = await issue();
    const second = await certificates.issueCertificate({ certificateSigningRequest: csr, profile: "server" });
    await certificates.revokeCertificate({ serial, reason: "keyCompromise" });
    const { certificate } = await certificates.getCertificate({ serial: second.serial });
    expect(certificate).toMatchObject({ state: "revoked", revocationReason: "keyCompromise" });
    const again = await refusalOf(
      certificates.issueCertificate({ certificateSigningRequest: csr, profile: "server" }),
    );
    expect(again).toMatchObject({
      kind: "failed-precondition",
      message: "this key was revoked (keyCompromise)",
    });
  });

  test("a stolen key's identity is refused within a second on the connection that it has, by serial, identity and key", async () => {
    const ways: ((client: Awaited<ReturnType<typeof house.enrol>>, key: Uint8Array) => Promise<unknown>)[] = [
      (client) =>
        certificates.revokeCertificate({ serial: client.identity.serial, reason: "certificateHold" }),
      (client) => identities.revokeIdentity({ name: client.uri, reason: "privilegeWithdrawn" }),
      (_, publicKey) => certificates.revokePublicKey({ publicKey, reason: "keyCompromise" }),
    ];
    for (const revoke of ways) {
      const client = await house.enrol(unique("stolen"), "user");
      const calls = [
        () => client.cryptography.generateRandom({ sizeBytes: 8 }),
        () => client.keys.listKeyrings({}),
        () => client.certificates.getTrustBundle({}),
        () => client.rotation.listRotationPolicies({}),
        () => client.audit.getCheckpoint({}),
      ];
      await Promise.all(calls.map((call) => call().catch(() => undefined)));
      await revoke(client, Buffer.from(client.identity.material.certificateChain));
      for (const call of calls) {
        const { milliseconds } = await until(
          async () => (await refusalOf(call())).message.includes("revoked"),
          10_000,
        );
        // The invariant says one second; a busy machine gets a second more.
        expect(milliseconds).toBeLessThan(2_000);
      }
    }
  });

  test("a hold that ends lets its identity in again, with the certificate that it had", async () => {
    const client = await house.enrol(unique("held"), "user");
    const { serial } = client.identity;
    await certificates.revokeCertificate({ serial, reason: "certificateHold" });
    await until(
      async () => (await refusalOf(client.cryptography.generateRandom({ sizeBytes: 8 }))).kind === "denied",
      5_000,
    );
    await certificates.revokeCertificate({ serial, reason: "removeFromCRL" });
    await until(() => client.cryptography.generateRandom({ sizeBytes: 8 }), 5_000);
  });

  test("a hold does not outlive its identity: revoked with it, it cannot be ended", async () => {
    const client = await house.enrol(unique("held"), "user");
    const { serial } = client.identity;
    await certificates.revokeCertificate({ serial, reason: "certificateHold" });
    await identities.revokeIdentity({ name: client.uri, reason: "cessationOfOperation" });
    const ended = await refusalOf(certificates.revokeCertificate({ serial, reason: "removeFromCRL" }));
    expect(ended.kind).toBe("failed-precondition");
  });

  test("another identity's key is not certified, though its holder proves possession", async () => {
    const { key } = await issue();
    const client = await house.enrol(unique("renewing"), "user");
    const request = buildCertificateSigningRequest({ privateKey: key });
    const renewed = await refusalOf(
      client.certificates.renewCertificate({ certificateSigningRequest: request }),
    );
    expect(renewed).toMatchObject({
      kind: "denied",
      message: "this key has a certificate of another identity",
    });
  });

  test("by the command line: a serial, a key out of a request, an identity; and only one of them", async () => {
    const { csr, serial } = await issue();
    writeFileSync(at("stolen.csr"), encodePem("CERTIFICATE REQUEST", csr));
    const held = await house.cli(["certs", "revoke", serial, "--reason", "certificateHold"]);
    expect(held.stdout).toContain("on hold");
    const byKey = await house.cli(["certs", "revoke", "--key", at("stolen.csr"), "--json"]);
    expect(JSON.parse(byKey.stdout)).toMatchObject({ certificatesRevoked: 1 });
    const client = await house.enrol(unique("ending"));
    const byIdentity = await house.cli(["certs", "revoke", "--identity", client.uri, "--json"]);
    expect(JSON.parse(byIdentity.stdout)).toMatchObject({
      certificatesRevoked: 1,
      identity: { state: "revoked" },
    });
    expect((await house.cli(["certs", "revoke", serial, "--identity", client.uri])).code).toBe(2);
    expect((await house.cli(["certs", "revoke", serial, "--reason", "boredom"])).code).toBe(2);
  }, 240_000);
});

test("the bundle comes as SPIFFE has it, with the roots and a sequence", async () => {
  const answer = await fetch(`${base}/v1/bundle.json`);
  expect(answer.headers.get("etag")).toMatch(/^"[\w-]{43}"$/);
  const bundle = (await answer.json()) as { keys: Record<string, unknown>[]; spiffe_sequence: number };
  const roots = splitChain((await certificates.getTrustBundle({})).trustBundle);
  expect(bundle.keys.map(({ x5c }) => x5c)).toEqual(
    roots.map((der) => [Buffer.from(der).toString("base64")]),
  );
  expect(bundle.keys[0]).toMatchObject({ use: "x509-svid", kty: "EC", crv: "P-256" });
  expect(bundle.spiffe_sequence).toBeGreaterThan(0);
  for await (const message of house.claviger.authorities.watchTrustBundle(
    {},
    { signal: AbortSignal.timeout(5000) },
  )) {
    expect(Number(message.sequence)).toBe(bundle.spiffe_sequence);
    break;
  }
});
