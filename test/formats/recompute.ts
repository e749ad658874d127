import { createCipheriv, createDecipheriv, createECDH, createHash, createHmac } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { bundleId, canonicalJson, commitment, sealBundle, sealConfirmation } from "@claviger/audit-record";
import {
  type BackupHeader,
  type Ending,
  encodeHeader as encodeBackupHeader,
  encodeEnding,
  encodeParts,
  endingsTable,
  sealStream,
} from "@claviger/backup";
import { parseEnrollmentToken } from "@claviger/client";
import { DomainError, isErrorKind } from "@claviger/domain-error";
import { appendLeaves, ecdsaKeyId, emptyRoot, formatVerifierKey, leafHash, nodeMap } from "@claviger/merkle";
import { GrantRoleRequestSchema } from "@claviger/proto/storage/v1/access_pb.ts";
import { sealInfo } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { ecdsaRawToDer } from "@claviger/x509";
import { approvalBytes } from "../../packages/approval/src/index.ts";
import { createColumnCipher } from "../../packages/column-cipher/src/index.ts";
import { hashRequest } from "../../packages/idempotency/src/index.ts";
import { createRowSealer, encodeRow } from "../../packages/row-seal/src/index.ts";
import { toServiceError } from "../../packages/rpc/src/errors.ts";
import { pageToken, readPageToken } from "../../packages/rpc/src/pages.ts";
import { formatToken, hashSecret, secretOf } from "../../services/distribution/src/enrollment.ts";
import { checkAlgorithm, checkProtection } from "../../services/generator/src/algorithm-choice.ts";
import { algorithmRow } from "../../services/generator/src/algorithms.ts";
import { type DrillReport, sealDrillReport } from "../../services/generator/src/ceremony/drill-report.ts";
import { encodeHeader, parseCiphertext, uuidBytes } from "../../services/generator/src/ciphertext.ts";
import { recoveryKeyId } from "../../services/generator/src/hsm/recovery-key.ts";
import { padSecret, unpadSecret } from "../../services/generator/src/hsm/wrapped-secret.ts";
import { openImportKey, sealImportKey } from "../../services/generator/src/import-key.ts";
import { fingerprintOf, materialDigest } from "../../services/generator/src/material-digest.ts";
import {
  boundBytes,
  type MaterialBinding,
  openEnvelope,
  sealEnvelope,
} from "../../services/generator/src/material-envelope.ts";
import { softwareMechanism } from "../../services/generator/src/mechanisms/software.ts";
import { derivedUuid } from "../../services/rotation/src/key-follower.ts";
import { recomputeDistribution } from "./recompute-distribution.ts";
import { bytes, type Fields, hex, value } from "./vectors.ts";

/** AES Key Wrap with Padding, RFC 5649: what the HSM does, done by OpenSSL. */
function wrapKey(kek: Buffer, secret: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap-pad", kek, Buffer.from("a65959a6", "hex"));
  return Buffer.concat([cipher.update(secret), cipher.final()]);
}

function unwrapKey(kek: Buffer, wrapped: Uint8Array): Buffer {
  const decipher = createDecipheriv("id-aes256-wrap-pad", kek, Buffer.from("a65959a6", "hex"));
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}

function secretFrom(data: Buffer): SecretBytes {
  return SecretBytes.take(Uint8Array.from(data));
}

function bindingMacOf(fields: Fields): (data: Uint8Array) => Promise<Buffer> {
  return async (data) => createHmac("sha256", bytes(fields, "binding-key")).update(data).digest();
}

function bindingOf(fields: Fields): MaterialBinding {
  const algorithm = checkAlgorithm(value(fields, "algorithm"));
  const purpose = value(fields, "purpose");
  if (purpose !== "encrypt-decrypt" && purpose !== "sign-verify") throw new Error(`${purpose} is no purpose`);
  return {
    name: value(fields, "name"),
    keyId: value(fields, "key-id"),
    version: Number(value(fields, "version")),
    algorithm,
    purpose,
    protection: checkProtection(value(fields, "protection")),
    exportable: JSON.parse(value(fields, "exportable")) as boolean,
  };
}

async function ciphertext(fields: Fields) {
  using secret = secretFrom(bytes(fields, "key"));
  const mechanism = softwareMechanism(algorithmRow("aes-256-gcm"), secret);
  const nonce = bytes(fields, "nonce");
  const keyId = value(fields, "key-id");
  const header = encodeHeader(uuidBytes(keyId), Number(value(fields, "version")), "aes-256-gcm", nonce);
  const associatedData = bytes(fields, "associated-data");
  const whole = await mechanism.seal!(header, nonce, associatedData, bytes(fields, "plaintext"));
  const parsed = parseCiphertext(bytes(fields, "ciphertext"))!;
  return {
    ciphertext: hex(whole),
    "key-id": parsed.keyId,
    version: String(parsed.version),
    plaintext: hex(await mechanism.open!(parsed.header, parsed.nonce, associatedData, parsed.sealed)),
  };
}

async function importKey(fields: Fields) {
  const mac = bindingMacOf(fields);
  const binding = { id: value(fields, "id"), caller: value(fields, "caller"), name: value(fields, "name") };
  const key = {
    keyringGeneration: Number(value(fields, "keyring-generation")),
    expiresAt: Number(value(fields, "expires-at")),
    wrapped: bytes(fields, "wrapped"),
  };
  const sealed = await sealImportKey(key, binding, mac);
  const opened = await openImportKey(bytes(fields, "import-key"), binding, mac);
  return { "import-key": hex(sealed), "expires-at": String(opened.expiresAt), wrapped: hex(opened.wrapped) };
}

function oaepHeader(fields: Fields) {
  const keyId = uuidBytes(value(fields, "key-id"));
  const none = Buffer.alloc(0);
  return { header: hex(encodeHeader(keyId, Number(value(fields, "version")), "rsa-oaep-sha256", none)) };
}

/** The record's own facts, put together again. */
function generationRecord(fields: Fields) {
  const facts = JSON.parse(value(fields, "record")) as Record<string, string> & { version: number };
  const text = { ...facts } as Record<string, unknown>;
  return { record: canonicalJson(text) };
}

function sealedSecretInfo(fields: Fields) {
  const [method, name] = [value(fields, "method"), value(fields, "name")];
  return { info: hex(Buffer.from(sealInfo({ method, name, version: Number(value(fields, "version")) }))) };
}

function wrappedSecret(fields: Fields) {
  using secret = secretFrom(bytes(fields, "secret"));
  using padded = padSecret(secret);
  const wrapped = wrapKey(bytes(fields, "keyring-key"), padded.expose());
  using back = secretFrom(unwrapKey(bytes(fields, "keyring-key"), bytes(fields, "wrapped")));
  using unpadded = unpadSecret(back);
  return { padded: hex(padded.expose()), wrapped: hex(wrapped), secret: hex(unpadded.expose()) };
}

async function digestOfMaterial(fields: Fields) {
  const mac = bindingMacOf(fields);
  return { digest: hex(await materialDigest(fingerprintOf(bytes(fields, "what")), mac)) };
}

async function materialEnvelope(fields: Fields) {
  const binding = bindingOf(fields);
  const mac = bindingMacOf(fields);
  const parts = {
    keyringGeneration: Number(value(fields, "keyring-generation")),
    wrapped: bytes(fields, "wrapped"),
    publicKey: bytes(fields, "public-key"),
  };
  const envelope = await sealEnvelope(parts, binding, mac);
  const opened = await openEnvelope(bytes(fields, "envelope"), binding, mac);
  return {
    bound: hex(boundBytes(binding, envelope.subarray(0, -32))),
    envelope: hex(envelope),
    wrapped: hex(opened.wrapped),
    "public-key": hex(opened.publicKey),
    "keyring-generation": String(opened.keyringGeneration),
  };
}

function rowSeal(fields: Fields) {
  const row = {
    id: value(fields, "id"),
    role: value(fields, "role"),
    identity: value(fields, "identity"),
    resource: value(fields, "resource"),
    createdBy: value(fields, "createdBy"),
    createdAt: new Date(value(fields, "createdAt")),
    ...(fields.condition === undefined ? {} : { condition: value(fields, "condition") }),
  };
  const sealer = createRowSealer(bytes(fields, "seal-key"));
  sealer.check(value(fields, "table"), "the vector", row, bytes(fields, "seal"));
  return {
    createdAt: row.createdAt.toISOString(),
    encoded: hex(Buffer.concat(encodeRow(value(fields, "table"), row))),
    seal: hex(sealer.seal(value(fields, "table"), row)),
  };
}

/** The nonce is the vector's: encryption takes a random one. What was concealed opens, and there alone. */
function concealedColumn(fields: Fields) {
  const columns = createColumnCipher(bytes(fields, "seal-key"));
  const place = { column: value(fields, "column"), row: value(fields, "row") };
  const [exactColumn, exactValue] = [value(fields, "exact-column"), value(fields, "exact-value")];
  const revealed = columns.reveal(place, bytes(fields, "concealed"));
  if (columns.reveal(place, columns.conceal(place, revealed)) !== revealed)
    throw new Error("what is concealed opens");
  return {
    value: revealed,
    "exact-value": columns.revealExact(exactColumn, bytes(fields, "exact")),
    exact: hex(columns.concealExact(exactColumn, exactValue)),
    digest: hex(columns.digest(value(fields, "search-column"), value(fields, "search-value"))),
  };
}

function auditRecord(fields: Fields) {
  const [leaf, personal] = [value(fields, "leaf"), value(fields, "personal")];
  const salt = bytes(fields, "salt");
  const bare = { ...(JSON.parse(leaf) as object), personalHash: commitment(personal, salt) };
  return {
    leaf: canonicalJson(bare),
    personal: canonicalJson(JSON.parse(personal)),
    "leaf-hash": hex(leafHash(Buffer.from(leaf, "utf8"))),
  };
}

function auditBundle(fields: Fields) {
  const records = ["1", "2"].map((number) => {
    const leaf = value(fields, `leaf-${number}`);
    const { id } = JSON.parse(leaf) as { id: string };
    const personal = value(fields, `personal-${number}`);
    return { id, leaf, personal, salt: bytes(fields, `salt-${number}`) };
  });
  const message = sealBundle(records, value(fields, "service"), bytes(fields, "audit-key"));
  return { id: bundleId(message, records.length, records[0]!.id), message: hex(message) };
}

function auditConfirmation(fields: Fields) {
  const ids = JSON.parse(value(fields, "ids")) as string[];
  return { message: hex(sealConfirmation(ids, value(fields, "service"), bytes(fields, "audit-key"))) };
}

function merkle(fields: Fields) {
  const leaves = ["leaf-0", "leaf-1", "leaf-2"].map((name) => leafHash(bytes(fields, name)));
  const grown = appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: leaves });
  return {
    "empty-root": hex(emptyRoot()),
    "hash-0": hex(leaves[0]!),
    "hash-1": hex(leaves[1]!),
    "hash-2": hex(leaves[2]!),
    "node-0-1": hex(grown.newNodes.find(({ level }) => level === 1)!.hash),
    root: hex(grown.root),
  };
}

function verifierKey(fields: Fields) {
  const spki = bytes(fields, "spki");
  const pair = createECDH("prime256v1");
  pair.setPrivateKey(bytes(fields, "private-key"));
  return {
    spki: hex(Buffer.concat([spki.subarray(0, -65), pair.getPublicKey()])),
    "key-id": ecdsaKeyId(spki).toString(16).padStart(8, "0"),
    "verifier-key": formatVerifierKey(value(fields, "name"), spki),
  };
}

function enrolmentToken(fields: Fields) {
  const context = {
    trustDomain: value(fields, "trust-domain"),
    enrollmentAddress: value(fields, "enrolment-address"),
    httpAddress: value(fields, "http-address"),
    rootSha256: value(fields, "root-sha256"),
  };
  const token = formatToken(context, value(fields, "secret"));
  const read = parseEnrollmentToken(token);
  return {
    token,
    secret: secretOf(token),
    "secret-hash": hex(hashSecret(secretOf(token))),
    "trust-domain": read.trustDomain,
    "enrolment-address": read.enrollmentAddress,
    "http-address": read.bundleAddress,
    "root-sha256": read.rootSha256,
  };
}

function recoveryWrap(fields: Fields) {
  using key = secretFrom(bytes(fields, "recovery-key"));
  return {
    "recovery-key-id": recoveryKeyId(key),
    wrap: hex(wrapKey(bytes(fields, "recovery-key"), bytes(fields, "wrapped-key"))),
  };
}

async function backup(fields: Fields) {
  async function* parts(): AsyncGenerator<Buffer> {
    yield bytes(fields, "parts");
  }
  const header = encodeBackupHeader(JSON.parse(value(fields, "header")) as BackupHeader);
  const whole: Buffer[] = [];
  for await (const piece of sealStream(bytes(fields, "key"), header, parts())) whole.push(piece);
  const made = [
    ...encodeParts("section", { name: "storage.tree", columns: ["id", "size"] }),
    ...encodeParts("data", Buffer.from("1\t0\n")),
  ];
  return { parts: hex(Buffer.concat(made)), backup: hex(Buffer.concat(whole)) };
}

function approval(fields: Fields) {
  const signed = approvalBytes({
    id: value(fields, "id"),
    requester: value(fields, "requester"),
    method: value(fields, "method"),
    permission: value(fields, "permission"),
    resource: value(fields, "resource"),
    requestHash: bytes(fields, "request-sha256"),
    required: Number(value(fields, "required")),
    group: value(fields, "group"),
    expiresAt: new Date(value(fields, "expires-at")),
  });
  return { sha256: createHash("sha256").update(signed).digest("hex") };
}

function pages(fields: Fields) {
  return { token: pageToken(value(fields, "last")), last: readPageToken(value(fields, "token")) };
}

function derivedId(fields: Fields) {
  const version = Number(value(fields, "version"));
  return { uuid: derivedUuid(value(fields, "word"), value(fields, "key-id"), version) };
}

function requestHash(fields: Fields) {
  const request = create(GrantRoleRequestSchema, {
    role: value(fields, "role"),
    identity: value(fields, "identity"),
    resource: value(fields, "resource"),
    requestId: value(fields, "request-id"),
  });
  return { hash: hex(hashRequest(GrantRoleRequestSchema, request)) };
}

function errorTrailers(fields: Fields) {
  const kind = value(fields, "kind");
  if (!isErrorKind(kind)) throw new Error(`${kind} is no kind`);
  const said = toServiceError(
    new DomainError(kind, value(fields, "message"), { hint: value(fields, "hint") }),
  );
  return {
    "grpc-status": String(said.code),
    message: said.details,
    "claviger-kind": String(said.metadata.get("claviger-kind")[0]),
    "claviger-hint-bin": Buffer.from(said.metadata.get("claviger-hint-bin")[0]!).toString("base64"),
  };
}

async function drillReport(fields: Fields): Promise<Record<string, string>> {
  const report = JSON.parse(value(fields, "report")) as DrillReport;
  const mac = (data: Uint8Array): Buffer =>
    createHmac("sha256", bytes(fields, "binding-key")).update(data).digest();
  const sealed = await sealDrillReport(report, mac);
  return { report: sealed.report.toString("utf8"), mac: hex(sealed.mac) };
}

function ending(fields: Fields): Record<string, string> {
  const row = JSON.parse(value(fields, "ending")) as Ending;
  const seal = createRowSealer(bytes(fields, "seal-key")).seal(endingsTable, { ...row });
  const line = JSON.parse(encodeEnding({ ending: row, seal })) as { ending: Ending; seal: string };
  return { ending: JSON.stringify(line.ending), seal: line.seal };
}

/** What the code makes of each vector's inputs; what it says must stand in the vector, field by field. */
export const recompute: Readonly<
  Record<string, (fields: Fields) => Record<string, string> | Promise<Record<string, string>>>
> = {
  ciphertext,
  "ciphertext-header-oaep": oaepHeader,
  "generation-record": generationRecord,
  "import-key": importKey,
  "sealed-secret-info": sealedSecretInfo,
  "wrapped-secret": wrappedSecret,
  "material-envelope": materialEnvelope,
  "material-envelope-public": materialEnvelope,
  "material-digest": digestOfMaterial,
  "row-seal": rowSeal,
  "row-seal-condition": rowSeal,
  "concealed-column": concealedColumn,
  "audit-record": auditRecord,
  "audit-bundle": auditBundle,
  "audit-confirmation": auditConfirmation,
  merkle,
  "verifier-key": verifierKey,
  "enrolment-token": enrolmentToken,
  "recovery-wrap": recoveryWrap,
  backup,
  "drill-report": drillReport,
  ending,
  approval,
  "page-token": pages,
  "derived-uuid": derivedId,
  "request-hash": requestHash,
  "error-trailers": errorTrailers,
  ...recomputeDistribution,
  "ecdsa-signature": (fields) => ({ der: hex(ecdsaRawToDer(bytes(fields, "raw"))) }),
};
