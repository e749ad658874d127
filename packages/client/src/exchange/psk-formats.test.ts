import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { formatPreSharedKey, type PskFormat } from "./psk-formats.ts";

function psk(bytes: Uint8Array) {
  const key = SecretBytes.take(Uint8Array.from(bytes));
  const self = "spiffe://x.example/workload/a";
  const peer = "spiffe://x.example/workload/b";
  return { key, name: "vpn.1", generation: 3, self, peer, [Symbol.dispose]: () => key[Symbol.dispose]() };
}

test("each format writes the key as the program reads it, for any bytes", () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const bytes = Buffer.from(Array.from({ length: 32 }, (_, at) => (at * 37 + seed * 101) % 256));
    const text = (format: PskFormat): string =>
      Buffer.from(formatPreSharedKey(psk(bytes), format)).toString("latin1");
    expect(text("hex")).toBe(`${bytes.toString("hex")}\n`);
    expect(text("openssl")).toBe(`-psk_identity vpn.1@3 -psk ${bytes.toString("hex")}\n`);
    expect(text("wireguard")).toContain(`\nPresharedKey = ${bytes.toString("base64")}\n`);
    expect(text("ikev2")).toContain(`ike-vpn-1-3 {`);
    expect(Buffer.from(formatPreSharedKey(psk(bytes), "raw"))).toEqual(bytes);
  }
});
