import { DomainError } from "@claviger/domain-error";
import {
  buildSignedRequest,
  type Certificate,
  encodePem,
  readCertificate,
  splitChain,
  verifyChain,
} from "@claviger/x509";
import { signerAlgorithmOf } from "./authorities.ts";
import { ensureKey, type GeneratorClients, signerOf } from "./authority-keys.ts";
import type { Registry } from "./registry.ts";
import { insertAuthority, insertAuthorityChain, saveAuthorityState } from "./store/authorities.ts";

const algorithms = ["ecdsa-p256", "ecdsa-p384", "rsa-pkcs1-3072", "rsa-pkcs1-4096"];

/** @throws DomainError `invalid-argument` */
export function checkExternalName(name: string): string {
  if (/^external-[a-z0-9]*[a-z][a-z0-9-]{0,30}$/.test(name) && !/-\d+$/.test(name)) return name;
  throw new DomainError(
    "invalid-argument",
    `"${name.slice(0, 40)}" is not a name for a CA of an outside root`,
    {
      hint: "external-partner, for example: lower-case letters and digits, not a number at its end",
    },
  );
}

/**
 * A key in the HSM and its PKCS #10 request, for an outside root to sign. Such a CA certifies for others:
 * its root never enters Claviger's own bundle, or whoever has that root could be any identity here.
 */
export async function requestAuthority(
  generator: GeneratorClients,
  wanted: { name: string; algorithm: string; commonName: string; organization: string },
): Promise<string> {
  const name = checkExternalName(wanted.name);
  if (!algorithms.includes(wanted.algorithm)) {
    throw new DomainError("invalid-argument", `a CA does not sign with "${wanted.algorithm.slice(0, 40)}"`, {
      hint: `one of ${algorithms.join(", ")}`,
    });
  }
  const key = await ensureKey(generator, {
    name: `system/ca-${name}`,
    algorithm: wanted.algorithm,
    reason: `key of the ${name} CA`,
  });
  const { subjectPublicKeyInfo } = key;
  const algorithm = signerAlgorithmOf(subjectPublicKeyInfo);
  const organization = wanted.organization === "" ? {} : { organization: wanted.organization };
  const request = await buildSignedRequest({
    subject: { commonName: wanted.commonName, ...organization },
    signer: signerOf(generator, key.name, key.version, { algorithm, subjectPublicKeyInfo }),
  });
  return encodePem("CERTIFICATE REQUEST", request);
}

/** Takes what the outside root signed. @throws DomainError `invalid-argument`, saying what does not fit */
export async function installAuthority(
  registry: Registry,
  generator: GeneratorClients,
  { chain, name }: { name: string; chain: string },
): Promise<Date> {
  checkExternalName(name);
  const keyName = `system/ca-${name}`;
  const [leaf, ...others] = splitChain(chain).map((der) => readCertificate(der));
  const root = others.at(-1);
  if (leaf === undefined || root === undefined) {
    throw new DomainError(
      "invalid-argument",
      "the chain has the CA's certificate first and the outside root last",
    );
  }
  const key = await generator.keys.getPublicKey({ name: keyName });
  requireCa(leaf, key.subjectPublicKeyInfo);
  const verdict = verifyChain({ leaf, intermediates: others, roots: [root], at: registry.now });
  if (!verdict.trusted) {
    throw new DomainError(
      "invalid-argument",
      `the chain does not lead to its root: ${verdict.reasons.join("; ")}`,
    );
  }
  const taken = await registry.tx.query("SELECT 1 FROM authorities WHERE name = $1", [name]);
  if (taken.length > 0) {
    throw new DomainError("already-exists", `there is a CA ${name} already`, {
      hint: "give the next one a name of its own",
    });
  }
  const { now, sealer, tx } = registry;
  const certificate = Buffer.from(leaf.der);
  const row = { name, generation: 1, keyName, keyVersion: key.version, certificate, createdAt: now };
  await insertAuthority(tx, sealer, row);
  await saveAuthorityState(tx, sealer, { name, generation: 1, state: "active", changedAt: now });
  const between = others.slice(0, -1).map(({ der }) => encodePem("CERTIFICATE", der));
  await insertAuthorityChain(tx, sealer, { name, generation: 1, chain: between.join("") });
  return leaf.notAfter;
}

function requireCa(leaf: Certificate, subjectPublicKeyInfo: Uint8Array): void {
  if (Buffer.compare(leaf.subjectPublicKeyInfo, subjectPublicKeyInfo) !== 0) {
    throw new DomainError("invalid-argument", "the first certificate is not for this CA's key", {
      hint: "install what the outside root signed for the request of `certs ca request`",
    });
  }
  const signs = leaf.isCa && (leaf.keyUsage?.includes("keyCertSign") ?? false);
  if (signs && leaf.keyUsage?.includes("cRLSign") && leaf.subjectKeyId !== undefined) return;
  throw new DomainError(
    "invalid-argument",
    "the first certificate is not a CA's that may sign certificates and CRLs",
    {
      hint: "the outside root has to give it CA:TRUE, keyCertSign, cRLSign and a subject key identifier",
    },
  );
}
