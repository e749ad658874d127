import { describeName } from "./name-encoding.ts";
import { oids } from "./oids.ts";
import type { Certificate } from "./read-certificate.ts";

/** Certificates in one chain, leaf and root included. */
export const chainLengthMax = 6;
/** Chains that are tried: cross-signed CAs make several, a hostile bundle very many. */
const chainsMax = 32;
/** Steps of the search, over all chains. */
const stepsMax = 512;

/** Extensions whose meaning is applied here, or is the caller's to apply. Others must not be critical. */
const understoodExtensions = new Set<string>([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
]);

export interface ChainQuestion {
  leaf: Certificate;
  intermediates: readonly Certificate[];
  roots: readonly Certificate[];
  /** The moment at which every certificate must hold. */
  at: Date;
}

export type ChainVerdict =
  | { trusted: true; chain: Certificate[] }
  /** Why not, in words, about the chain that came closest. */
  | { trusted: false; reasons: string[] };

/**
 * Whether a chain leads from the leaf to one of the roots: names, signatures, dates, CA flags, key
 * usages and path lengths. It is made to tell a person what is wrong with the files on a machine.
 * It knows nothing of revocation, name constraints and policies, and guards no connection: TLS does.
 */
export function verifyChain(question: ChainQuestion): ChainVerdict {
  const chains = findChains(question);
  let reasons: string[] | undefined;
  for (const chain of chains) {
    const problems = chainProblems(chain, question.at);
    if (problems.length === 0) return { trusted: true, chain };
    if (reasons === undefined || problems.length < reasons.length) reasons = problems;
  }
  return { trusted: false, reasons: reasons ?? noChainReasons(question) };
}

/** Every chain that fits by names alone, so that what else is wrong with it can be said. */
function findChains({ leaf, intermediates, roots }: ChainQuestion): Certificate[][] {
  const found: Certificate[][] = [];
  let steps = 0;
  const climb = (chain: Certificate[]): void => {
    const top = chain.at(-1)!;
    if (found.length >= chainsMax || ++steps > stepsMax) return;
    if (roots.some((root) => isSame(root, top))) {
      found.push(chain);
      return;
    }
    if (chain.length === chainLengthMax) return;
    for (const issuer of [...roots, ...intermediates]) {
      const isCandidate =
        Buffer.compare(issuer.subject, top.issuer) === 0 && !chain.some((link) => isSame(link, issuer));
      if (isCandidate) climb([...chain, issuer]);
    }
  };
  climb([leaf]);
  return found;
}

function chainProblems(chain: readonly Certificate[], at: Date): string[] {
  const problems: string[] = [];
  let intermediatesBelow = 0;
  chain.forEach((certificate, index) => {
    const name = describe(certificate);
    problems.push(...dateProblems(certificate, name, at));
    for (const type of certificate.criticalExtensions.filter(
      (critical) => !understoodExtensions.has(critical),
    )) {
      problems.push(`${name} has the critical extension ${type}, which is not understood here`);
    }
    if (index > 0) problems.push(...issuerProblems(certificate, name, intermediatesBelow));
    const issuer = chain[index + 1];
    if (issuer !== undefined && !isSignedBy(certificate, issuer)) {
      problems.push(
        `${name} was not signed by the key of ${describe(issuer)}, though it names it as its issuer`,
      );
    }
    // RFC 5280 section 6.1.4 (l): self-issued certificates do not count, nor does the leaf.
    const isSelfIssued = Buffer.compare(certificate.subject, certificate.issuer) === 0;
    if (index > 0 && !isSelfIssued) intermediatesBelow++;
  });
  return problems;
}

function dateProblems({ notBefore, notAfter }: Certificate, name: string, at: Date): string[] {
  const moment = at.getTime();
  // notAfter is inclusive (RFC 5280 section 4.1.2.5), and means the whole of its second.
  if (moment >= notAfter.getTime() + 1000) return [`${name} expired on ${seconds(notAfter)}`];
  if (moment < notBefore.getTime()) return [`${name} is not valid before ${seconds(notBefore)}`];
  return [];
}

function issuerProblems(certificate: Certificate, name: string, intermediatesBelow: number): string[] {
  const problems: string[] = [];
  if (!certificate.isCa)
    problems.push(`${name} is not a CA, though another certificate names it as its issuer`);
  // RFC 5280 section 6.1.4 (n): if usages are stated, they must include this one.
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.includes("keyCertSign")) {
    problems.push(`${name} may not sign certificates by its key usage`);
  }
  if (certificate.pathLength !== undefined && intermediatesBelow > certificate.pathLength) {
    problems.push(
      `${name} allows ${certificate.pathLength} CAs below it, and there are ${intermediatesBelow}`,
    );
  }
  return problems;
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  try {
    return certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    // A key of another type than the signature: as foreign as one that does not match.
    return false;
  }
}

function noChainReasons({ leaf, intermediates, roots, at }: ChainQuestion): string[] {
  const name = describe(leaf);
  const known = [...intermediates, ...roots];
  const hasIssuer = known.some((issuer) => Buffer.compare(issuer.subject, leaf.issuer) === 0);
  const reason = hasIssuer
    ? `${name} leads to no root that is trusted here within ${chainLengthMax} certificates`
    : `${name} was issued by ${describeName(leaf.issuer)}, which is not among the certificates given`;
  return [reason, ...dateProblems(leaf, name, at)];
}

function describe(certificate: Certificate): string {
  const name = describeName(certificate.subject);
  const label =
    certificate.uris[0] ?? (certificate.subject.length > 2 ? name : `serial ${certificate.serial}`);
  return `the certificate of ${label}`;
}

function isSame(a: Certificate, b: Certificate): boolean {
  return Buffer.compare(a.der, b.der) === 0;
}

function seconds(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}
