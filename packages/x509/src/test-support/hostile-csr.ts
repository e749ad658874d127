import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import {
  bitString,
  contextConstructed,
  integerFromNumber,
  octetString,
  oid,
  sequence,
  set,
  tlv,
  utf8String,
} from "../der.ts";
import { extension } from "../extensions.ts";
import { oids } from "../oids.ts";
import { ecdsaSha256Identifier } from "../signer.ts";
import { spkiOf } from "./authority.ts";

export const requestKey = generateKeyPairSync("ec", { namedCurve: "P-256" });

export interface RequestParts {
  version?: Uint8Array;
  subject?: Uint8Array;
  spki?: Uint8Array;
  attributes?: Uint8Array[];
  /** After the attributes, inside the part that is signed. */
  extra?: Uint8Array[];
  algorithm?: Uint8Array;
  privateKey?: KeyObject;
  sign?: (info: Uint8Array) => Uint8Array;
}

/** A request of any shape, truly signed, so that only what a test bends is wrong with it. */
export function makeRequest(parts: RequestParts = {}): Uint8Array {
  const info = sequence([
    parts.version ?? integerFromNumber(0),
    parts.subject ?? subjectOf([oids.commonName, utf8String("payments")]),
    parts.spki ?? spkiOf(requestKey.publicKey),
    contextConstructed(0, parts.attributes ?? []),
    ...(parts.extra ?? []),
  ]);
  const signature = parts.sign?.(info) ?? sign("sha256", info, parts.privateKey ?? requestKey.privateKey);
  return sequence([info, parts.algorithm ?? ecdsaSha256Identifier, bitString(signature)]);
}

export function subjectOf(...attributes: [string, Uint8Array][]): Uint8Array {
  return sequence(attributes.map(([type, value]) => set([sequence([oid(type), value])])));
}

export function extensionRequest(...extensions: Uint8Array[]): Uint8Array {
  return sequence([oid(oids.extensionRequest), set([sequence(extensions)])]);
}

/** A request for one subject alternative name extension with these GeneralNames. */
export function requestNaming(...names: [tag: number, text: string][]): Uint8Array {
  const members = names.map(([tag, text]) => tlv(tag, Buffer.from(text, "latin1")));
  return makeRequest({ attributes: [extensionRequest(extension(oids.subjectAltName, sequence(members)))] });
}

export const anyOctets = octetString(Uint8Array.of(1, 2, 3));

export function keyPair(curve: string): { privateKey: KeyObject; spki: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: curve });
  return { privateKey, spki: spkiOf(publicKey) };
}

export function rsa(
  modulusLength: number,
  publicExponent = 65_537,
): { privateKey: KeyObject; spki: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength, publicExponent });
  return { privateKey, spki: spkiOf(publicKey) };
}
