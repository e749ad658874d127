import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import pkcs11 from "pkcs11js";
import type { HsmKeyKind } from "./port.ts";
import type { Session } from "./sessions.ts";
import * as templates from "./templates.ts";

const curveOf = { "ec-p256": "P-256", "ec-p384": "P-384", "ec-p521": "P-521" } as const;
const kindOfCurve = { "P-256": "ec-p256", "P-384": "ec-p384", "P-521": "ec-p521" } as const;
const coordinateBytes = { "P-256": 32, "P-384": 48, "P-521": 66 } as const;
const uncompressed = 0x04;
const octetString = 0x04;

/**
 * What the HSM says is the public key, SubjectPublicKeyInfo in DER. Making it of its numbers checks that
 * a point is on its curve (SP 800-56A Rev. 3 section 5.6.2.3.3).
 */
export function readPublicKey(
  module: pkcs11.PKCS11,
  session: Session,
  object: Buffer,
  kind: HsmKeyKind,
): Buffer {
  const key =
    kind in curveOf
      ? ecKey(module, session, object, kind as keyof typeof curveOf)
      : rsaKey(module, session, object);
  try {
    return createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "der" });
  } catch (cause) {
    throw unknownShape(cause);
  }
}

function ecKey(
  module: pkcs11.PKCS11,
  session: Session,
  object: Buffer,
  kind: keyof typeof curveOf,
): JsonWebKey {
  const crv = curveOf[kind];
  const size = coordinateBytes[crv];
  // The point inside a DER OCTET STRING (PKCS#11 v3.0, 2.3.3).
  const [value] = attributes(module, session, object, [pkcs11.CKA_EC_POINT]);
  const point = value!.subarray(value!.length - (1 + 2 * size));
  const header = point.length < 128 ? 2 : 3;
  if (value!.length !== header + point.length || value![0] !== octetString || point[0] !== uncompressed) {
    throw unknownShape();
  }
  const coordinate = (at: number): string =>
    point.subarray(1 + at * size, 1 + (at + 1) * size).toString("base64url");
  return { kty: "EC", crv, x: coordinate(0), y: coordinate(1) };
}

function rsaKey(module: pkcs11.PKCS11, session: Session, object: Buffer): JsonWebKey {
  const [n, e] = attributes(module, session, object, [pkcs11.CKA_MODULUS, pkcs11.CKA_PUBLIC_EXPONENT]);
  return { kty: "RSA", n: n!.toString("base64url"), e: e!.toString("base64url") };
}

function attributes(module: pkcs11.PKCS11, session: Session, object: Buffer, types: number[]): Buffer[] {
  const found = module.C_GetAttributeValue(
    session,
    object,
    types.map((type) => ({ type })),
  );
  return found.map(({ value }) => Buffer.from(value as unknown as Buffer));
}

/** A public key as a session object, to verify with in the HSM. */
export function publicKeyTemplate(key: KeyObject): pkcs11.Template {
  const jwk = key.export({ format: "jwk" });
  if (jwk.kty === "EC") {
    const curve = jwk.crv as keyof typeof kindOfCurve;
    const point = Buffer.concat([Buffer.of(uncompressed), bytesOf(jwk.x), bytesOf(jwk.y)]);
    return templates.ecPublicKey(templates.curveParameters[kindOfCurve[curve]], point);
  }
  return templates.rsaPublicKey(bytesOf(jwk.n), bytesOf(jwk.e));
}

function bytesOf(text: string | undefined): Buffer {
  return Buffer.from(text ?? "", "base64url");
}

function unknownShape(cause?: unknown): DomainError {
  return new DomainError("integrity", "the HSM made a public key of an unknown shape", { cause });
}
