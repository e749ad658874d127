import { randomBytes } from "node:crypto";
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A source of choices that gives the same ones for the same seed: what was found can be made again. */
export class Choices {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to `below` − 1. */
  below(below: number): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  happens(outOfHundred: number): boolean {
    return this.below(100) < outOfHundred;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const depthMax = 4;
const oddTexts = [
  "",
  "*",
  "/",
  "a/b/c",
  "../..",
  "\0",
  "é\u202e",
  "x".repeat(300),
  "x".repeat(5000),
  "spiffe://claviger.test/workload/fuzz",
  "spiffe://claviger.test/claviger/generator",
  "spiffe://",
  "aes-256-gcm",
  "ecdsa-p256",
  "ml-kem-768",
  "rsa-oaep-3072",
  "hsm",
  "software",
  "active",
  "suspended",
  "compromised",
  "server",
  "keyCompromise",
  "administrator",
  "00000000-0000-0000-0000-000000000000",
  "2026-13-45T99:99:99Z",
  "{}",
  "%00",
  "'; drop table keys; --",
];
const oddNumbers = [
  0n,
  1n,
  2n,
  3n,
  7n,
  100n,
  1000n,
  65_537n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];
const oddLengths = [0, 1, 12, 16, 24, 31, 32, 33, 53, 64, 65, 91, 384, 1088, 4000];

/** A message of this type, or nearly: fields of odd values, fields of the wrong type, bytes cut off or changed. */
export function fuzzedMessage(type: DescMessage, choices: Choices, names: readonly string[]): Uint8Array {
  if (choices.happens(3)) return randomBytes(choices.below(200));
  const bytes = encode(type, choices, names, 0);
  if (bytes.length > 0 && choices.happens(5)) bytes[choices.below(bytes.length)]! ^= 1 << choices.below(8);
  return choices.happens(5) ? bytes.subarray(0, choices.below(bytes.length + 1)) : bytes;
}

function encode(type: DescMessage, choices: Choices, names: readonly string[], depth: number): Uint8Array {
  const writer = new BinaryWriter();
  for (const field of type.fields) {
    if (!choices.happens(70)) continue;
    const repeats = field.fieldKind === "list" ? choices.below(4) : 1;
    for (let count = 0; count < repeats; count += 1) writeField(writer, field, choices, names, depth);
  }
  if (choices.happens(5)) writer.tag(1 + choices.below(2000), WireType.Varint).uint32(choices.below(1000));
  return writer.finish();
}

function writeField(
  writer: BinaryWriter,
  field: DescField,
  choices: Choices,
  names: readonly string[],
  depth: number,
): void {
  if (choices.happens(2)) {
    writer.tag(field.number, WireType.Varint).uint64(choices.of(oddNumbers));
    return;
  }
  if (field.message !== undefined) {
    if (depth < depthMax) {
      writer
        .tag(field.number, WireType.LengthDelimited)
        .bytes(encode(field.message, choices, names, depth + 1));
    }
    return;
  }
  if (field.scalar === ScalarType.STRING) {
    const text = choices.happens(60) ? choices.of(names) : choices.of(oddTexts);
    writer.tag(field.number, WireType.LengthDelimited).string(text);
  } else if (field.scalar === ScalarType.BYTES) {
    writer.tag(field.number, WireType.LengthDelimited).bytes(randomBytes(choices.of(oddLengths)));
  } else {
    writer.tag(field.number, WireType.Varint).uint64(choices.of(oddNumbers));
  }
}
