import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createServiceClient, Transport } from "@claviger/client";
import { serviceIdentity, TlsIdentity } from "@claviger/identity";
import { readSupervisorFile, type ServiceName } from "@claviger/local";
import {
  buildCertificate,
  type CertificateSigner,
  encodePem,
  type Name,
  randomSerial,
  type SubjectAltName,
} from "@claviger/x509";
import { credentials, Client as GrpcClient, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect } from "vitest";
import { type TestInstallation, unique } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

export const services = [
  "storage",
  "generator",
  "distribution",
  "rotation",
  "audit",
] as const satisfies ServiceName[];

/** A key and a certificate, however the attacker came by them, PEM. */
export interface Credentials {
  key: string;
  certificateChain: string;
  trustBundle: string;
}

/** What a call came back with: a code where it was refused, bytes where it was not. */
export interface WireAnswer {
  code: number;
  /** Claviger's own kind, where Claviger answered. */
  kind: string;
  details: string;
  bytes: Uint8Array;
}

/** One call with bytes of the attacker's choice, by a client of his own. Never throws. */
export function callRaw(options: {
  address: string;
  path: string;
  body: Uint8Array;
  credentials?: Credentials | undefined;
  trustBundle?: string;
  deadlineMilliseconds?: number;
}): Promise<WireAnswer> {
  const { address, body, path } = options;
  const material = options.credentials;
  const context = createSecureContext({
    ca: options.trustBundle ?? material?.trustBundle,
    ...(material === undefined ? {} : { cert: material.certificateChain, key: material.key }),
  });
  const channel = credentials.createFromSecureContext(context, { checkServerIdentity: () => undefined });
  const client = new GrpcClient(address, channel, {
    "grpc.ssl_target_name_override": "localhost",
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      body,
      new Metadata(),
      { deadline: Date.now() + (options.deadlineMilliseconds ?? 10_000) },
      (error, bytes) => {
        client.close();
        resolve({
          code: error?.code ?? status.OK,
          kind: error?.metadata?.get("claviger-kind")[0]?.toString() ?? "",
          details: error?.details ?? "",
          bytes: bytes ?? new Uint8Array(),
        });
      },
    );
  });
}

/** A copy of the TLS files of a part of Claviger, as a thief would take them off its disk. */
export function stolenDirectory(house: TestInstallation, part: ServiceName | "nats"): string {
  const directory = join(house.workDirectory, unique(`stolen-${part}`));
  cpSync(join(house.stateDirectory, part, "tls"), directory, { recursive: true });
  return directory;
}

export function stolenCredentials(house: TestInstallation, part: ServiceName | "nats"): Credentials {
  return TlsIdentity.load(stolenDirectory(house, part)).material;
}

/** Calls `service` of `at` under the identity whose files lie in `directory`. */
export function clientAs<S extends DescService>(
  house: TestInstallation,
  directory: string,
  service: S,
  at: ServiceName,
): Client<S> & Disposable {
  const transport = new Transport({
    address: addressOf(house, at),
    identity: TlsIdentity.load(directory),
    serverIdentity: serviceIdentity(house.trustDomain, at).uri,
  });
  return Object.assign(createServiceClient(service, transport), {
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  });
}

export function addressOf(house: TestInstallation, service: ServiceName): string {
  return `127.0.0.1:${house.ports[service]}`;
}

export function trustBundleOf(house: TestInstallation): string {
  return readFileSync(house.layout.trust.bundle, "utf8");
}

export function signerOf(privateKey: KeyObject, subjectPublicKeyInfo: Uint8Array): CertificateSigner {
  return {
    algorithm: "ecdsa-p256-sha256",
    subjectPublicKeyInfo,
    sign: async (tbs) => sign("sha256", tbs, privateKey),
  };
}

/** A leaf for `names`, by whatever CA the attacker has. */
export async function certify(options: {
  names: readonly SubjectAltName[];
  issuer: Name | Uint8Array;
  issuerPem: string;
  signer: CertificateSigner;
  trustBundle: string;
}): Promise<Credentials> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: options.issuer,
    subject: {},
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    subjectPublicKeyInfo: publicKey.export({ type: "spki", format: "der" }),
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["serverAuth", "clientAuth"],
    subjectAltNames: [...options.names],
    signer: options.signer,
  });
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    certificateChain: encodePem("CERTIFICATE", certificate) + options.issuerPem,
    trustBundle: options.trustBundle,
  };
}

/** A leaf for `names` by a CA of the attacker's own, which carries our CA's very name. */
export async function certifyByAnotherCa(
  house: TestInstallation,
  names: readonly SubjectAltName[],
): Promise<Credentials> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = signerOf(privateKey, publicKey.export({ type: "spki", format: "der" }));
  const name = { commonName: "Claviger root CA", organization: house.trustDomain };
  const root = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: name,
    subject: name,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    basicConstraints: { ca: true, pathLength: 1 },
    keyUsage: ["keyCertSign", "cRLSign"],
    signer,
  });
  const issuerPem = encodePem("CERTIFICATE", root);
  return certify({ names, issuer: name, issuerPem, signer, trustBundle: trustBundleOf(house) });
}

/** Writes credentials where {@link clientAs} finds them. */
export function keepCredentials(house: TestInstallation, material: Credentials): string {
  const directory = join(house.workDirectory, unique("credentials"));
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, "key.pem"), material.key, { mode: 0o600 });
  writeFileSync(join(directory, "cert.pem"), material.certificateChain);
  writeFileSync(join(directory, "bundle.pem"), material.trustBundle);
  return directory;
}

/**
 * Says at the end of a test file that no service had to be started again, and that none met a bug of
 * its own: whatever an attacker sends is refused, never merely survived.
 */
export function expectCalmServices(house: TestInstallation): void {
  const restarts = (): Record<string, number> =>
    Object.fromEntries(
      readSupervisorFile(house.layout)!.parts.map(({ name, restarts: count }) => [name, count]),
    );
  const linesOf = (service: ServiceName): string[] => house.serviceLog(service).split("\n");
  let before: Record<string, number> = {};
  const linesBefore = new Map<ServiceName, number>();
  beforeAll(() => {
    before = restarts();
    for (const service of services) linesBefore.set(service, linesOf(service).length - 1);
  });
  afterAll(() => {
    expect(restarts(), "a service was started again").toEqual(before);
    for (const service of services)
      expect(bugsIn(linesOf(service).slice(linesBefore.get(service)))).toEqual([]);
  });
}

/** What each of these calls was refused with; all are under way before the first is looked at. */
export async function kindsOf(calls: readonly Promise<unknown>[]): Promise<string[]> {
  return Promise.all(calls.map(async (call) => (await refusalOf(call)).kind));
}

/** The log lines that say that a service met a bug of its own. */
export function bugsIn(lines: readonly string[]): string[] {
  return lines.filter((line) => line.includes('"internal error"') || line.includes('"uncaught error"'));
}

/** A fresh keyring with one key; resolves to the key's name. */
export async function freshKey(
  house: TestInstallation,
  options: { algorithm?: string; protection?: string; rotationPeriodSeconds?: bigint } = {},
): Promise<string> {
  const keyring = unique("ring");
  await house.claviger.keyrings.createKeyring({ name: keyring });
  const name = `${keyring}/key`;
  await house.claviger.keyGeneration.createKey({ name, algorithm: "aes-256-gcm", ...options });
  return name;
}
