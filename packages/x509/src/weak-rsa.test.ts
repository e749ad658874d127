import {
  checkPrimeSync,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { expect, test } from "vitest";
import { parseCertificateSigningRequest } from "./csr.ts";
import { derNull, oid, sequence } from "./der.ts";
import { oids } from "./oids.ts";
import { spkiOf } from "./test-support/authority.ts";
import { makeRequest, subjectOf } from "./test-support/hostile-csr.ts";

const e = 65_537n;

/** A key pair out of two primes, whatever they are. */
function keyOf(p: bigint, q: bigint): KeyObject {
  const d = inverse(e, (p - 1n) * (q - 1n));
  const jwk = {
    kty: "RSA",
    n: base64(p * q),
    e: base64(e),
    d: base64(d),
    p: base64(p),
    q: base64(q),
    dp: base64(d % (p - 1n)),
    dq: base64(d % (q - 1n)),
    qi: base64(inverse(q, p)),
  };
  return createPrivateKey({ key: jwk, format: "jwk" });
}

function base64(value: bigint): string {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex").toString("base64url");
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, nextR, t, nextT] = [modulus, value % modulus, 0n, 1n];
  while (nextR !== 0n) {
    const quotient = r / nextR;
    [r, nextR] = [nextR, r - quotient * nextR];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return t < 0n ? t + modulus : t;
}

function isUsable(candidate: bigint): boolean {
  return (candidate - 1n) % e !== 0n && checkPrimeSync(candidate);
}

/** A prime as the ROCA generator makes them: k·M + (65537^a mod M), M the product of the first 39 primes. */
function rocaPrime(): bigint {
  const primes = [
    2n,
    3n,
    5n,
    7n,
    11n,
    13n,
    17n,
    19n,
    23n,
    29n,
    31n,
    37n,
    41n,
    43n,
    47n,
    53n,
    59n,
    61n,
    67n,
    71n,
    73n,
    79n,
    83n,
    89n,
    97n,
    101n,
    103n,
    107n,
    109n,
    113n,
    127n,
    131n,
    137n,
    139n,
    149n,
    151n,
    157n,
    163n,
    167n,
  ];
  const m = primes.reduce((product, prime) => product * prime, 1n);
  // The two highest bits are set, so that two of them make 2048 bits.
  const low = (3n << 1022n) / m + 1n;
  const range = (1n << 1024n) / m - low;
  for (;;) {
    const k = low + (BigInt(`0x${randomBytes(128).toString("hex")}`) % range);
    let power = 1n;
    for (let exponent = randomBytes(1)[0]!; exponent >= 0; exponent -= 1) power = (power * e) % m;
    const candidate = k * m + power;
    if (isUsable(candidate)) return candidate;
  }
}

function nextPrime(after: bigint): bigint {
  for (let candidate = after + 2n; ; candidate += 2n) if (isUsable(candidate)) return candidate;
}

function requestOf(privateKey: KeyObject): Uint8Array {
  return makeRequest({
    spki: spkiOf(createPublicKey(privateKey)),
    algorithm: sequence([oid(oids.rsaWithSha256), derNull()]),
    sign: (info) => sign("sha256", info, privateKey),
    subject: subjectOf(),
  });
}

test("an ordinary RSA key is accepted", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  expect(parseCertificateSigningRequest(requestOf(privateKey)).keyType).toBe("rsa-2048");
});

test("a key of the ROCA generator is refused, though it proves possession", () => {
  const request = requestOf(keyOf(rocaPrime(), rocaPrime()));
  expect(() => parseCertificateSigningRequest(request)).toThrow(/ROCA/);
});

test("a key whose primes are neighbours is refused", () => {
  const p = generatePrimeSync(1024, { bigint: true });
  const request = requestOf(keyOf(p, nextPrime(p)));
  expect(() => parseCertificateSigningRequest(request)).toThrow(/close/);
});

test("a key with a small factor is refused", () => {
  const request = requestOf(keyOf(751n, generatePrimeSync(2047, { bigint: true })));
  expect(() => parseCertificateSigningRequest(request)).toThrow(/divided by 751/);
});
