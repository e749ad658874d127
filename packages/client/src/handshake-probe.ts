import { connect } from "node:tls";
import type { Transport } from "./transport.ts";

export type HandshakeVerdict =
  /** Nobody listens, or nothing answers. */
  | "unreachable"
  /** The server took this identity's certificate. */
  | "accepted"
  /** The server was reached and ended the connection right after it had seen the certificate. */
  | "rejected";

const connectMilliseconds = 1500;
/** In TLS 1.3 the client is done before the server has looked at its certificate: wait for its word. */
const silenceMilliseconds = 400;

/**
 * A server that refuses a client certificate in TLS 1.3 merely ends the connection, which looks like a
 * server that has just died. One more handshake tells them apart.
 */
export function probeHandshake(transport: Transport): Promise<HandshakeVerdict> {
  const { address, identity } = transport.options;
  const separator = address.lastIndexOf(":");
  return new Promise((resolve) => {
    let connected = false;
    const socket = connect({
      host: address.slice(0, separator).replace(/^\[|\]$/g, ""),
      port: Number(address.slice(separator + 1)),
      ca: identity.material.trustBundle,
      cert: identity.material.certificateChain,
      key: identity.material.key,
      minVersion: "TLSv1.3",
      ALPNProtocols: ["h2"],
      // Only how the server takes us matters here: nothing is sent.
      rejectUnauthorized: false,
    });
    const end = (verdict: HandshakeVerdict): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(verdict);
    };
    let timer = setTimeout(() => end("unreachable"), connectMilliseconds);
    socket.on("connect", () => {
      connected = true;
    });
    socket.on("secureConnect", () => {
      clearTimeout(timer);
      timer = setTimeout(() => end("accepted"), silenceMilliseconds);
    });
    const ended = (): void => end(connected ? "rejected" : "unreachable");
    socket.on("error", ended);
    socket.on("close", ended);
  });
}
