import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import type { ServiceError } from "@grpc/grpc-js";
import { asBuffer, type CallOptions, metadataFor, pathOf } from "./call.ts";
import { errorFromStatus, explainUnavailable } from "./errors.ts";
import type { Transport } from "./transport.ts";

/**
 * Sends encoded requests as they come and yields answers as they arrive. While the server does not read, nothing
 * more is taken from `requests`; while the caller does not read, the server is held back likewise.
 */
export async function* duplexCall(
  method: DescMethod,
  transport: Transport,
  requests: AsyncIterable<Uint8Array>,
  options: CallOptions,
): AsyncGenerator<object> {
  const call = transport.client.makeBidiStreamRequest(
    pathOf(method),
    (bytes: Uint8Array) => asBuffer(bytes),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    metadataFor(options),
    options.deadlineMilliseconds === undefined ? {} : { deadline: Date.now() + options.deadlineMilliseconds },
  );
  const cancel = (): void => call.cancel();
  options.signal?.addEventListener("abort", cancel, { once: true });
  let failure: unknown;
  const sending = (async () => {
    for await (const request of requests) {
      if (call.destroyed) return;
      if (!call.write(request)) {
        await new Promise<void>((resolve) => {
          call.once("drain", resolve);
          call.once("close", resolve);
        });
      }
    }
    call.end();
  })().catch((error: unknown) => {
    failure = error;
    call.cancel();
  });
  try {
    for await (const message of call) yield message as object;
    await sending;
  } catch (error) {
    if (failure !== undefined) throw failure;
    if (options.signal?.aborted) return;
    throw await explainUnavailable(errorFromStatus(error as ServiceError, transport), transport);
  } finally {
    options.signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}
