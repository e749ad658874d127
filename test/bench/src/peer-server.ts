// The peer of a unary call: a bare grpc-js server. Mutual TLS 1.3, the same messages, the same cryptography and layout of
// the ciphertext; nobody is authorized and nothing is audited. Run with the directory of its identity;
// it tells its port to whoever forked it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";
import { encrypt, version } from "./bare-cryptography.ts";

tls.DEFAULT_MIN_VERSION = "TLSv1.3";
const directory = process.argv[2];
if (directory === undefined) throw new Error("usage: peer-server.ts IDENTITY-DIRECTORY");
process.on("disconnect", () => process.exit());
process.on("SIGINT", () => undefined);

const messageBytesMax = 4 * 1024 * 1024;
const { method } = CryptographyService;
const server = new Server({
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
});
serve(method.encrypt, (request) => ({ ciphertext: encrypt(request), version }));

const read = (name: string): Buffer => readFileSync(join(directory, name));
const credentials = ServerCredentials.createSsl(
  read("bundle.pem"),
  [{ private_key: read("key.pem"), cert_chain: read("cert.pem") }],
  true,
);
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  if (error !== null) throw error;
  process.send?.({ port });
});

function serve<M extends DescMethod>(
  row: M,
  answer: (request: MessageShape<M["input"]>) => MessageInitShape<M["output"]>,
): void {
  const definition = {
    [row.localName]: {
      path: `/${row.parent.typeName}/${row.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: asBuffer,
      requestDeserialize: (bytes: Buffer) => fromBinary(row.input, bytes),
      responseSerialize: (message: MessageInitShape<M["output"]>) =>
        asBuffer(toBinary(row.output, create(row.output, message) as MessageShape<M["output"]>)),
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  };
  server.addService(definition as unknown as ServiceDefinition, {
    [row.localName]: (
      call: { request: MessageShape<M["input"]> },
      callback: (error: null, message: MessageInitShape<M["output"]>) => void,
    ) => callback(null, answer(call.request)),
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
