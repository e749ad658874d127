import type { FetchedPreSharedKey } from "./pre-shared-keys.ts";

/** How programs take a pre-shared key. */
export const pskFormats = ["raw", "hex", "openssl", "ikev2", "wireguard"] as const;
export type PskFormat = (typeof pskFormats)[number];

/** The identity under which TLS offers it: a generation has one of its own, so that two may be used side by side. */
export function pskIdentity({ generation, name }: Pick<FetchedPreSharedKey, "name" | "generation">): string {
  return `${name}@${generation}`;
}

/** Bytes to write to a file of mode 0600, and to clear afterwards. */
export function formatPreSharedKey(psk: FetchedPreSharedKey, format: PskFormat): Uint8Array {
  const bytes = psk.key.expose();
  switch (format) {
    case "raw":
      return Uint8Array.from(bytes);
    case "hex":
      return joined("", hexOf(bytes), "\n");
    case "openssl":
      // Options of s_server and s_client; an external PSK of TLS 1.3 goes with SHA-256 (RFC 8446 section 4.2.11).
      return joined(`-psk_identity ${pskIdentity(psk)} -psk `, hexOf(bytes), "\n");
    case "ikev2":
      return joined(
        `# ${pskIdentity(psk)}: include from swanctl.conf (strongSwan)\nsecrets {\n` +
          `  ike-${psk.name.replaceAll(".", "-")}-${psk.generation} {\n` +
          `    id-1 = "${psk.self}"\n    id-2 = "${psk.peer}"\n    secret = 0x`,
        hexOf(bytes),
        "\n  }\n}\n",
      );
    case "wireguard":
      return joined(
        `# ${pskIdentity(psk)}: into [Peer] of ${psk.peer}\nPresharedKey = `,
        base64Of(bytes),
        "\n",
      );
  }
}

function joined(before: string, secret: Uint8Array, after: string): Uint8Array {
  const [head, tail] = [before, after].map((text) => new TextEncoder().encode(text)) as [
    Uint8Array,
    Uint8Array,
  ];
  const whole = new Uint8Array(new ArrayBuffer(head.length + secret.length + tail.length));
  whole.set(head);
  whole.set(secret, head.length);
  whole.set(tail, head.length + secret.length);
  secret.fill(0);
  return whole;
}

/** Characters as bytes: a string of a secret could not be cleared. */
function hexOf(bytes: Uint8Array): Uint8Array {
  const digits = new TextEncoder().encode("0123456789abcdef");
  const text = new Uint8Array(new ArrayBuffer(bytes.length * 2));
  bytes.forEach((byte, at) => {
    text[2 * at] = digits[byte >> 4]!;
    text[2 * at + 1] = digits[byte & 15]!;
  });
  return text;
}

function base64Of(bytes: Uint8Array): Uint8Array {
  const digits = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  const text = new Uint8Array(new ArrayBuffer(Math.ceil(bytes.length / 3) * 4)).fill("=".charCodeAt(0));
  for (let at = 0, to = 0; at < bytes.length; at += 3, to += 4) {
    const left = Math.min(3, bytes.length - at);
    const group = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    for (let digit = 0; digit <= left; digit += 1)
      text[to + digit] = digits[(group >> (18 - 6 * digit)) & 63]!;
  }
  return text;
}
