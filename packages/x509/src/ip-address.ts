import { isIPv4, isIPv6 } from "node:net";
import { DomainError } from "@claviger/domain-error";

/** The 4 or 16 octets of an address; zones, prefixes and ports are refused. */
export function ipToBytes(text: string): Uint8Array {
  if (isIPv4(text)) return ipv4Bytes(text);
  // node:net admits a zone (fe80::1%eth0), which names an interface of one host and not an address.
  if (!isIPv6(text) || text.includes("%")) {
    throw new DomainError("invalid-argument", "an IP name is not an IPv4 or IPv6 address", {
      hint: "Write one address, without prefix length, port or zone.",
    });
  }
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted === null ? [] : [...ipv4Bytes(dotted[2]!)];
  const groups = dotted === null ? text : dotted[1]!.replace(/([^:]):$/, "$1");
  const [left = "", right] = groups.split("::");
  const before = groupBytes(left);
  const after = [...groupBytes(right ?? ""), ...tail];
  return Uint8Array.from([
    ...before,
    ...new Array<number>(16 - before.length - after.length).fill(0),
    ...after,
  ]);
}

/** The canonical text (RFC 5952) of 4 or 16 octets. */
export function ipFromBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) {
    throw new DomainError("invalid-argument", "an IP name has neither 4 nor 16 octets");
  }
  const hex = Buffer.from(bytes).toString("hex");
  // The URL standard's serialiser compresses as RFC 5952 section 4 asks.
  const host = new URL(`http://[${hex.match(/.{4}/g)!.join(":")}]`).hostname;
  return host.slice(1, -1);
}

function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(".").map(Number));
}

function groupBytes(groups: string): number[] {
  if (groups === "") return [];
  return groups.split(":").flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
