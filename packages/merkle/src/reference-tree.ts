import { emptyRoot, nodeHash } from "./hashing.ts";

// RFC 6962 sections 2.1, 2.1.1 and 2.1.2 word for word, recursive and slow: what tests hold the package
// against. It shares nothing with the package but the two hash functions.

function split(leaves: number): number {
  let k = 1;
  while (k * 2 < leaves) {
    k *= 2;
  }
  return k;
}

/** MTH(D[n]), from the leaves' hashes. */
export function referenceRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) {
    return emptyRoot();
  }
  if (leaves.length === 1) {
    return only;
  }
  const k = split(leaves.length);
  return nodeHash(referenceRoot(leaves.slice(0, k)), referenceRoot(leaves.slice(k)));
}

/** PATH(m, D[n]). */
export function referencePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) {
    return [];
  }
  const k = split(leaves.length);
  const left = leaves.slice(0, k);
  const right = leaves.slice(k);
  return m < k
    ? [...referencePath(m, left), referenceRoot(right)]
    : [...referencePath(m - k, right), referenceRoot(left)];
}

/** SUBPROOF(m, D[n], b); PROOF(m, D[n]) is where b is true. */
export function referenceSubproof(m: number, leaves: readonly Uint8Array[], b = true): Uint8Array[] {
  if (m === leaves.length) {
    return b ? [] : [referenceRoot(leaves)];
  }
  const k = split(leaves.length);
  const left = leaves.slice(0, k);
  const right = leaves.slice(k);
  return m <= k
    ? [...referenceSubproof(m, left, b), referenceRoot(right)]
    : [...referenceSubproof(m - k, right, false), referenceRoot(left)];
}
