import { DomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { expect, test } from "vitest";
import { sequence, utf8String } from "./der.ts";
import { decodePem, decodePemBlocks, encodePem, pemOrDer } from "./pem.ts";

const block = encodePem("CERTIFICATE", Uint8Array.of(1, 2, 3));

test("bytes survive the way into PEM and back, with any line ending", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.constantFrom("\n", "\r\n"),
      (der, ending) => {
        const pem = encodePem("CERTIFICATE REQUEST", der).replaceAll("\n", ending);
        expect(decodePem(pem, "CERTIFICATE REQUEST")).toEqual(der);
        expect(pem.split(ending).every((line) => line.length <= 64)).toBe(true);
      },
    ),
  );
});

test("several blocks come out in order, with text between them", () => {
  const blocks = decodePemBlocks(
    `subject=CN\n${block}\nissuer=0\n${encodePem("X509 CRL", Uint8Array.of(4))}`,
  );
  expect(blocks.map(({ label }) => label)).toEqual(["CERTIFICATE", "X509 CRL"]);
  expect(blocks[1]!.der).toEqual(Uint8Array.of(4));
});

test("malformed PEM is refused with what is wrong", () => {
  const lines = block.split("\n");
  const cases: [string, RegExp][] = [
    ["", /no PEM block/],
    [lines[0]!, /no END/],
    [lines.slice(1).join("\n"), /no BEGIN/],
    [`${lines[0]}\n${block}`, /no END/],
    [block.replace("AQID", "AQI"), /base64/],
    [block.replace("AQID", "AQI*"), /base64/],
    [block.replace("AQID", ""), /base64/],
    [block.replace("AQID", "AR=="), /base64/],
    [block.replace("AQID", "Proc-Type: 4,ENCRYPTED\n\nAQID"), /headers/],
    [block.replace("END CERTIFICATE", "END CERT"), /BEGIN/],
    [block.replaceAll("CERTIFICATE", "certificate"), /boundary/],
    [block.replaceAll("CERTIFICATE", "EC PRIVATE KEY"), /is a EC PRIVATE KEY/],
    [block + block, /2 blocks/],
  ];
  for (const [pem, problem] of cases) expect(() => decodePem(pem, "CERTIFICATE"), pem).toThrow(problem);
});

test("size and number of blocks are bounded", () => {
  expect(() => decodePem(block, "CERTIFICATE", { bytesMax: 10 })).toThrow(/larger than 10/);
  expect(() => pemOrDer(new Uint8Array(11), "CERTIFICATE", { bytesMax: 10 })).toThrow(/larger than 10/);
  expect(() => decodePemBlocks(block.repeat(101))).toThrow(/more than 100/);
});

test("DER is recognised, and text that begins with the same octet is not taken for it", () => {
  const der = sequence([utf8String("a")]);
  expect(pemOrDer(der, "CERTIFICATE")).toEqual(der);
  expect(pemOrDer(der, "CERTIFICATE")).not.toBe(der);
  expect(pemOrDer(Buffer.from(`0 s:CN = root\n${block}`), "CERTIFICATE")).toEqual(Uint8Array.of(1, 2, 3));
});

test("whatever the text, nothing but a DomainError is thrown", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      try {
        decodePemBlocks(`-----BEGIN A-----\n${text}`);
      } catch (error) {
        expect(error).toBeInstanceOf(DomainError);
      }
    }),
  );
});
