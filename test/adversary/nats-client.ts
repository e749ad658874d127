import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Credentials } from "./attacker.ts";

export interface NatsOptions {
  port: number;
  credentials: Partial<Credentials>;
  maxVersion?: "TLSv1.2" | "TLSv1.3";
}

const answerMilliseconds = 1500;

/**
 * A client of the bus that is as impolite as an attacker's: it speaks the protocol's lines itself,
 * claims what it likes, and tells what the server said.
 */
export class NatsClient implements Disposable {
  readonly #socket: TLSSocket;
  readonly #heard: string[] = [];

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => this.#heard.push(text));
    socket.on("error", () => undefined);
  }

  /** @throws Error where the bus does not let these credentials in. */
  static async open({ credentials, maxVersion = "TLSv1.3", port }: NatsOptions): Promise<NatsClient> {
    const plain = await greeted(port);
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const upgraded = connectTls({
        socket: plain,
        ca: credentials.trustBundle,
        cert: credentials.certificateChain,
        key: credentials.key,
        minVersion: "TLSv1.2",
        maxVersion,
        checkServerIdentity: () => undefined,
      });
      upgraded.once("secureConnect", () => resolve(upgraded));
      upgraded.once("error", reject);
      plain.once("error", reject);
      plain.once("close", () => reject(new Error("the bus closed the connection")));
    });
    const client = new NatsClient(socket);
    const said = await client.say('CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n');
    if (!said.includes("PONG")) {
      client[Symbol.dispose]();
      throw new Error(`the bus said: ${said}`);
    }
    return client;
  }

  /** Sends lines and a PING; resolves to everything that came back until the PONG, the end, or too long. */
  async say(lines: string | Buffer): Promise<string> {
    const from = this.#heard.length;
    const said = (): string => this.#heard.slice(from).join("");
    this.#socket.write(Buffer.concat([Buffer.from(lines), Buffer.from("PING\r\n")]));
    const deadline = performance.now() + answerMilliseconds;
    while (!said().includes("PONG\r\n") && !this.#socket.destroyed && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return said();
  }

  publish(subject: string, body: Uint8Array | string, reply = ""): Promise<string> {
    const bytes = Buffer.from(body as string);
    const head = `PUB ${subject} ${reply === "" ? "" : `${reply} `}${bytes.length}\r\n`;
    return this.say(Buffer.concat([Buffer.from(head), bytes, Buffer.from("\r\n")]));
  }

  subscribe(subject: string): Promise<string> {
    return this.say(`SUB ${subject} 1\r\n`);
  }

  /** Everything that was heard so far. */
  get heard(): string {
    return this.#heard.join("");
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** The server greets in the clear, and then expects TLS on the same connection. */
function greeted(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.once("error", reject);
    socket.once("data", (greeting: Buffer) => {
      if (greeting.toString("latin1").startsWith("INFO ")) resolve(socket);
      else reject(new Error("this is no bus"));
    });
  });
}
