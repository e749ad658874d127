import { DomainError } from "@claviger/domain-error";
import { integer } from "./der.ts";

/** RFC 5280 section 4.1.2.2: a CA must not use serials of more than 20 octets. */
const serialBytesMax = 20;

/**
 * 16 random octets, of which the first is made 40 to 7f: positive without a sign octet and never
 * shorter, so that every serial has the same length in DER and in hex. 126 bits stay random; RFC 5280
 * and the CA/Browser Forum's rules ask for 64.
 */
export function randomSerial(random: (length: number) => Uint8Array): Uint8Array {
  const serial = new Uint8Array(random(16));
  if (serial.length !== 16)
    throw new DomainError("internal", "the random source gave less than was asked for");
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial;
}

/** The INTEGER of a serial, which must be positive and at most 20 octets. */
export function encodeSerial(serial: Uint8Array): Uint8Array {
  const encoded = integer(serial);
  const contentBytes = encoded[1]!;
  if (serial.every((octet) => octet === 0) || contentBytes > serialBytesMax) {
    throw new DomainError(
      "invalid-argument",
      `a serial must be positive and at most ${serialBytesMax} octets`,
      {
        hint: "Make it with randomSerial.",
      },
    );
  }
  return encoded;
}

/**
 * Lower-case hex of the INTEGER's content octets: a sign octet 00 is part of it, nothing else is
 * added or stripped. It is the form of `readCertificate(…).serial`, and one to one with the DER.
 */
export function serialToHex(serial: Uint8Array): string {
  return Buffer.from(encodeSerial(serial).subarray(2)).toString("hex");
}

/** The reverse of {@link serialToHex}; other spellings of the same number are accepted. */
export function serialFromHex(hex: string): Uint8Array {
  if (hex.length > 2 * serialBytesMax || !/^(?:[0-9a-f]{2})+$/i.test(hex)) {
    throw new DomainError("invalid-argument", "a serial must be an even number of at most 40 hex digits");
  }
  return new Uint8Array(Buffer.from(hex, "hex"));
}
