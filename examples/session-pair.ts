// Two services that never shared a key talk under one: each knows who the other is, what they say is sealed, and
// whoever learns their keys later reads nothing of it. The one that is called needs nothing of Claviger's services.
//
//   node examples/session-pair.ts serve DIRECTORY PORT            prints what it is told, until Ctrl-C
//   node examples/session-pair.ts call  DIRECTORY PORT PEER TEXT  tells PEER something
//
// DIRECTORY holds an identity (claviger identities join), PEER is another's SPIFFE ID.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { acceptSession, createClaviger, openSession, registerRecipient } from "@claviger/client";

const [role = "", directory = "", port = "", peer = "", text = "hello"] = process.argv.slice(2);
const claviger = createClaviger({ config: `${directory}/claviger.json` });

/** A sealed message is a line of base64, which is all that there is to this protocol. */
const say = (socket: Socket, sealed: Buffer): void => {
  socket.write(`${sealed.toString("base64")}\n`);
};
const lines = (socket: Socket) => createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });

async function serve(socket: Socket): Promise<void> {
  using session = await acceptSession(claviger, { over: socket });
  console.log(`${session.peer} is here until ${session.notAfter.toISOString()}`);
  for await (const line of lines(socket)) {
    const told = session.open(Buffer.from(line, "base64")).toString();
    console.log(`told: ${told}`);
    say(socket, session.seal(Buffer.from(`understood: ${told}`)));
  }
}

async function call(): Promise<void> {
  const socket = connect(Number(port), "127.0.0.1");
  await once(socket, "connect");
  using session = await openSession(claviger, { peer, over: socket });
  say(socket, session.seal(Buffer.from(text)));
  for await (const line of lines(socket)) {
    console.log(session.open(Buffer.from(line, "base64")).toString());
    break;
  }
  socket.destroy();
  claviger.close();
}

if (role === "serve") {
  await registerRecipient(claviger);
  const server = createServer((socket) => {
    serve(socket)
      .catch((error: Error) => console.error(`refused: ${error.message}`))
      .finally(() => socket.destroy());
  });
  server.listen(Number(port), "127.0.0.1", () => console.log(`waiting on 127.0.0.1:${port}`));
} else await call();
