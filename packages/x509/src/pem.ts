import { DomainError } from "@claviger/domain-error";

/** Of the text as a whole; a chain of certificates and a bundle of roots fit many times. */
export const pemBytesMax = 1024 * 1024;
export const pemBlocksMax = 100;

const labelPattern = /^[A-Z0-9](?:[A-Z0-9 -]{0,62}[A-Z0-9])?$/;

export interface PemBlock {
  label: string;
  der: Uint8Array;
}

export interface PemLimits {
  bytesMax?: number;
  blocksMax?: number;
}

/** RFC 7468: 64 characters a line, a line feed after the last. */
export function encodePem(label: string, der: Uint8Array): string {
  if (!labelPattern.test(label)) {
    throw new DomainError("invalid-argument", "a PEM label must be capital letters, digits and single words");
  }
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/** The one block of this label (or of one of these) that the text must hold. */
export function decodePem(
  pem: string | Uint8Array,
  label: string | readonly string[],
  limits: PemLimits = {},
): Uint8Array {
  const labels = typeof label === "string" ? [label] : label;
  const blocks = decodePemBlocks(pem, limits);
  const [block] = blocks;
  if (block === undefined) throw noBlock(labels[0]!);
  if (blocks.length > 1) {
    throw new DomainError("invalid-argument", `the PEM holds ${blocks.length} blocks where one is expected`, {
      hint: "Send them one at a time.",
    });
  }
  if (!labels.includes(block.label)) throw wrongLabel(block.label, labels[0]!);
  return block.der;
}

/**
 * Every block in order. Text between blocks is allowed, because tools print what a certificate
 * says above it (RFC 7468 section 5.2); a line that begins like a boundary and is none is refused.
 */
export function decodePemBlocks(pem: string | Uint8Array, limits: PemLimits = {}): PemBlock[] {
  const { bytesMax = pemBytesMax, blocksMax = pemBlocksMax } = limits;
  if (pem.length > bytesMax) throw tooLarge(bytesMax);
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  const blocks: PemBlock[] = [];
  let open: { label: string; lines: string[] } | undefined;
  for (const line of text.split(/\r\n|\n|\r/)) {
    const boundary = line.startsWith("-----") ? parseBoundary(line) : undefined;
    if (boundary === undefined) {
      open?.lines.push(line);
    } else if (boundary.begins) {
      if (open !== undefined) throw badPem(`the block ${open.label} has no END line`);
      if (blocks.length === blocksMax) throw badPem(`it holds more than ${blocksMax} blocks`);
      open = { label: boundary.label, lines: [] };
    } else {
      if (open?.label !== boundary.label) throw badPem(`the END line of ${boundary.label} has no BEGIN line`);
      blocks.push({ label: open.label, der: decodeBody(open.lines) });
      open = undefined;
    }
  }
  if (open !== undefined) throw badPem(`the block ${open.label} has no END line`);
  return blocks;
}

/**
 * DER as it is, or the one PEM block of this label. The result is always a copy, so that a caller
 * who changes the input afterwards changes nothing that was checked.
 */
export function pemOrDer(
  bytes: Uint8Array,
  label: string | readonly string[],
  limits: PemLimits = {},
): Uint8Array {
  const { bytesMax = pemBytesMax } = limits;
  if (bytes.length > bytesMax) throw tooLarge(bytesMax);
  if (bytes.length === 0) throw new DomainError("invalid-argument", "the input is empty");
  // DER here is always a SEQUENCE. Text that begins with the character "0" has the same first octet,
  // but its second is ASCII, which as a length would have to fit exactly.
  const isDer = bytes[0] === 0x30 && (bytes[1]! >= 0x80 || bytes[1] === bytes.length - 2);
  return isDer ? new Uint8Array(bytes) : decodePem(bytes, label, limits);
}

function parseBoundary(line: string): { begins: boolean; label: string } {
  const match = /^-----(BEGIN|END) ([^\r\n]{1,64})-----[ \t]*$/.exec(line);
  const label = match?.[2] ?? "";
  if (match === null || !labelPattern.test(label)) throw badPem("a boundary line is not well-formed");
  return { begins: match[1] === "BEGIN", label };
}

function decodeBody(lines: readonly string[]): Uint8Array {
  if (lines.some((line) => line.includes(":"))) {
    throw new DomainError("invalid-argument", "the PEM block has headers, as old encrypted keys do", {
      hint: "Convert it to an unencrypted block without headers first.",
    });
  }
  const base64 = lines.join("").replace(/[ \t\v\f]/g, "");
  const decoded = Buffer.from(base64, "base64");
  // Buffer skips what it does not know; encoding again shows whether it skipped anything.
  if (base64.length === 0 || decoded.toString("base64") !== base64) {
    throw badPem("the text between its lines is not complete base64");
  }
  return new Uint8Array(decoded);
}

function noBlock(label: string): DomainError {
  return new DomainError("invalid-argument", `the input holds no PEM block, where ${label} is expected`, {
    hint: `A PEM block begins with -----BEGIN ${label}-----.`,
  });
}

function wrongLabel(found: string, expected: string): DomainError {
  const isSecret = found.includes("PRIVATE KEY");
  return new DomainError("invalid-argument", `the PEM block is a ${found}, where ${expected} is expected`, {
    hint: isSecret ? "Never send a private key: consider it exposed, and make a new one." : undefined,
  });
}

function badPem(problem: string): DomainError {
  return new DomainError("invalid-argument", `the PEM is malformed: ${problem}`, {
    hint: "Send the file unchanged, from its BEGIN line to its END line.",
  });
}

function tooLarge(bytesMax: number): DomainError {
  return new DomainError("invalid-argument", `the input is larger than ${bytesMax} bytes`);
}
