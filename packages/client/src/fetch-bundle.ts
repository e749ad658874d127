import { DomainError } from "@claviger/domain-error";

const bundleBytesMax = 256 * 1024;
const timeoutMilliseconds = 10_000;

/**
 * The trust bundle that the read-only HTTP publishes, unverified: bounded in size and time, and
 * nothing is followed anywhere else.
 */
export async function fetchBundle(address: string): Promise<string> {
  const url = `http://${address}/v1/bundle.pem`;
  const refuse = (why: string, cause?: unknown): DomainError =>
    new DomainError("unavailable", `the trust bundle at ${url} cannot be fetched: ${why}`, {
      hint: "check that the distribution service runs and that this machine can reach it",
      cause,
    });
  try {
    const response = await fetch(url, {
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMilliseconds),
    });
    if (!response.ok || response.body === null) throw refuse(`it answers ${response.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body) {
      size += chunk.length;
      if (size > bundleBytesMax) throw refuse(`it is larger than ${bundleBytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("latin1");
  } catch (error) {
    if (error instanceof DomainError) throw error;
    const late = error instanceof Error && error.name === "TimeoutError";
    throw refuse(late ? "it does not answer in time" : "nothing answers", error);
  }
}
