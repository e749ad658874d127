import type { DescMethod } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";

export interface CallOptions {
  deadlineMilliseconds?: number;
  signal?: AbortSignal;
  /** W3C trace id, 32 hexadecimal digits, that goes through every hop. */
  traceId?: string;
}

export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

export function metadataFor(options: CallOptions): Metadata {
  const metadata = new Metadata();
  if (options.traceId !== undefined) metadata.set("traceparent", `00-${options.traceId}-0000000000000001-00`);
  return metadata;
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
