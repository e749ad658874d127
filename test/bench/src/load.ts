// Generates load from a process of its own, so that only the server's CPU is counted.
import { createServiceClient, Transport } from "@claviger/client";
import { TlsIdentity } from "@claviger/identity";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";

export interface LoadOrder {
  address: string;
  identityDirectory: string;
  serverIdentity: string;
  kind: "unary" | "batch";
  key: string;
  inFlight: number;
  milliseconds: number;
}

const plaintext = Buffer.alloc(256, 7);
const batchItems = 100;

process.on("message", async (order: LoadOrder) => {
  const identity = TlsIdentity.load(order.identityDirectory);
  const { address, serverIdentity } = order;
  const transports = Array.from({ length: 4 }, () => new Transport({ address, identity, serverIdentity }));
  const clients = transports.map((transport) => createServiceClient(CryptographyService, transport));
  const end = performance.now() + order.milliseconds;
  const latencies: number[] = [];
  let operations = 0;
  const loop = async (at: number): Promise<void> => {
    const client = clients[at % clients.length]!;
    while (performance.now() < end) {
      const began = performance.now();
      if (order.kind === "unary") {
        await client.encrypt({ name: order.key, plaintext });
        operations += 1;
      } else {
        await client.encryptBatch({
          name: order.key,
          items: Array.from({ length: batchItems }, () => ({ plaintext })),
        });
        operations += batchItems;
      }
      latencies.push(performance.now() - began);
    }
  };
  try {
    await Promise.all(Array.from({ length: order.inFlight }, (_, at) => loop(at)));
    latencies.sort((a, b) => a - b);
    const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
    process.send?.({ operations, p50: at(0.5), p99: at(0.99) });
  } catch (error) {
    process.send?.({ error: (error as Error).message });
  } finally {
    for (const transport of transports) transport[Symbol.dispose]();
  }
});
process.on("disconnect", () => process.exit());
