import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";

export interface RawCall {
  port: number;
  /** Holds bundle.pem, and key.pem and cert.pem where the caller shows a certificate. */
  identityDirectory: string;
  anonymous?: boolean;
  path: string;
  request?: Uint8Array;
}

const deadlineMilliseconds = 5_000;

/** One call with bytes in and bytes out, as any gRPC client could make it. It checks the server's CA alone. */
export async function rawUnary(call: RawCall): Promise<Buffer> {
  const client = open(call);
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const deadline = { deadline: Date.now() + deadlineMilliseconds };
      const asIs = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(
        call.path,
        asIs,
        asIs,
        Buffer.from(call.request ?? []),
        deadline,
        (error, answer) => (error === null ? resolve(answer!) : reject(error satisfies ServiceError)),
      );
    });
  } finally {
    client.close();
  }
}

/** A bidirectional stream of one message each way. */
export async function rawBidirectional(call: RawCall): Promise<Buffer> {
  const client = open(call);
  try {
    const asIs = (bytes: Buffer): Buffer => bytes;
    const stream = client.makeBidiStreamRequest(call.path, asIs, asIs, {
      deadline: Date.now() + deadlineMilliseconds,
    });
    stream.write(Buffer.from(call.request ?? []));
    return await new Promise<Buffer>((resolve, reject) => {
      stream.once("data", (bytes: Buffer) => {
        stream.end();
        resolve(bytes);
      });
      stream.once("error", reject);
    });
  } finally {
    client.close();
  }
}

function open({ anonymous, identityDirectory, port }: RawCall): Client {
  const read = (name: string): Buffer => readFileSync(join(identityDirectory, name));
  const channel = anonymous
    ? credentials.createSsl(read("bundle.pem"), null, null, { checkServerIdentity: () => undefined })
    : credentials.createSsl(read("bundle.pem"), read("key.pem"), read("cert.pem"), {
        checkServerIdentity: () => undefined,
      });
  return new Client(`127.0.0.1:${port}`, channel, {
    "grpc.ssl_target_name_override": "localhost",
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
}
