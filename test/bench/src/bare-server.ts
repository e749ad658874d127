// The peer: a bare grpc-js server on mutual TLS 1.3 whose handler only encrypts. No identity, no access
// decision, no audit. Started by main.ts with a directory of key.pem, cert.pem and bundle.pem.
import { createCipheriv, createSecretKey, randomBytes } from "node:crypto";
import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import { TlsIdentity } from "@claviger/identity";
import {
  CryptographyService,
  EncryptBatchRequestSchema,
  EncryptBatchResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
} from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { MutualTlsServerCredentials } from "@claviger/rpc";
import { type handleUnaryCall, Server } from "@grpc/grpc-js";

const [directory = "", address = ""] = process.argv.slice(2);
const key = createSecretKey(randomBytes(32));
const header = Buffer.alloc(25, 1);

function encrypt(plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  const head = Buffer.concat([header, nonce]);
  cipher.setAAD(head);
  const body = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([head, body, cipher.getAuthTag()]);
}

const server = new Server({ "grpc.max_concurrent_streams": 256 });
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function serve(method: DescMethod, handle: (bytes: Buffer) => Uint8Array): void {
  const handler: handleUnaryCall<Buffer, Uint8Array> = (call, callback) =>
    callback(null, handle(call.request));
  server.addService(
    {
      [method.localName]: {
        path: `/${method.parent.typeName}/${method.name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: asBuffer,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: asBuffer,
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    { [method.localName]: handler },
  );
}

serve(CryptographyService.method.encrypt, (bytes) => {
  const { plaintext } = fromBinary(EncryptRequestSchema, bytes);
  return toBinary(
    EncryptResponseSchema,
    create(EncryptResponseSchema, { ciphertext: encrypt(plaintext), version: 1 }),
  );
});
serve(CryptographyService.method.encryptBatch, (bytes) => {
  const { items } = fromBinary(EncryptBatchRequestSchema, bytes);
  const results = items.map(({ plaintext }) => ({ ciphertext: encrypt(plaintext) }));
  return toBinary(EncryptBatchResponseSchema, create(EncryptBatchResponseSchema, { results, version: 1 }));
});

server.bindAsync(address, new MutualTlsServerCredentials(TlsIdentity.load(directory)), (error) => {
  if (error !== null) throw error;
  process.send?.("ready");
});
process.on("disconnect", () => process.exit());
