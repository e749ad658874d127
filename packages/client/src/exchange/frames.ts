import type { Duplex } from "node:stream";
import { DomainError } from "@claviger/domain-error";

const lengthBytes = 4;
const frameBytesMax = 512 * 1024;

/** Writes one message with its length before it. */
export async function writeFrame(stream: Duplex, content: Uint8Array): Promise<void> {
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(content.length);
  await new Promise<void>((resolve, reject) => {
    stream.write(Buffer.concat([length, content]), (error) => (error ? reject(ended(error)) : resolve()));
  });
}

/**
 * Reads one message, and not a byte more: what follows is the next reader's.
 * @throws DomainError `unavailable` where the connection ends or the other side is silent for that long
 */
export async function readFrame(stream: Duplex, timeoutMilliseconds: number): Promise<Buffer> {
  const silent = new DomainError("unavailable", "the other side of the session does not answer");
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(silent), timeoutMilliseconds);
  });
  const abandon = new AbortController();
  try {
    const length = (
      await Promise.race([readExactly(stream, lengthBytes, abandon.signal), timeout])
    ).readUInt32BE();
    if (length === 0 || length > frameBytesMax) {
      throw new DomainError("integrity", "the other side of the session does not speak its protocol");
    }
    return await Promise.race([readExactly(stream, length, abandon.signal), timeout]);
  } finally {
    clearTimeout(timer);
    abandon.abort();
  }
}

function readExactly(stream: Duplex, bytes: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      stream.off("readable", look);
      for (const event of ["end", "close", "error"]) stream.off(event, fail);
      signal.removeEventListener("abort", stop);
    };
    const look = (): void => {
      const chunk = stream.read(bytes) as Buffer | null;
      if (chunk === null) return;
      stop();
      if (chunk.length === bytes) resolve(chunk);
      else reject(ended());
    };
    const fail = (cause?: unknown): void => {
      stop();
      reject(ended(cause));
    };
    stream.on("readable", look);
    for (const event of ["end", "close", "error"]) stream.on(event, fail);
    signal.addEventListener("abort", stop, { once: true });
    look();
  });
}

function ended(cause?: unknown): DomainError {
  return new DomainError("unavailable", "the connection of the session ended", { cause });
}
