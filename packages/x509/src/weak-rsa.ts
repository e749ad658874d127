import { DomainError } from "@claviger/domain-error";

/** Primes under this must not divide a modulus (CA/Browser Forum baseline 6.1.6). */
const smallPrimeMax = 752;
/** CA/Browser Forum baseline 6.1.1.3 asks for this many rounds of Fermat's method. */
const fermatRounds = 100;
/** The odd primes up to here tell keys of the ROCA generator from all others. */
const rocaPrimeMax = 167;

const smallPrimes = primesUpTo(smallPrimeMax);
const smallProduct = smallPrimes.reduce((product, prime) => product * BigInt(prime), 1n);

/**
 * Refuses moduli that anybody can factor: with a small factor, with two primes close to each other, and of the
 * generator of CVE-2017-15361 (ROCA), whose primes are powers of 65537 modulo a product of small primes.
 *
 * @throws DomainError `invalid-argument`
 */
export function refuseWeakModulus(modulus: bigint): void {
  const rest = modulus % smallProduct;
  const factor = smallPrimes.find((prime) => rest % BigInt(prime) === 0n);
  if (factor !== undefined) throw refuse(`the RSA key's modulus can be divided by ${factor}`);
  if (isRoca(modulus)) {
    throw refuse("the RSA key is of a generator whose keys can be factored (CVE-2017-15361, ROCA)");
  }
  if (hasClosePrimes(modulus))
    throw refuse("the RSA key's two primes are so close that anybody can find them");
}

/** For each prime, which residues are powers of 65537. */
const rocaResidues = primesUpTo(rocaPrimeMax)
  .filter((prime) => prime > 2)
  .map((prime) => {
    const residues = new Set<number>();
    for (let power = 1; !residues.has(power); power = (power * 65_537) % prime) residues.add(power);
    return { prime, residues };
  });

function isRoca(modulus: bigint): boolean {
  return rocaResidues.every(({ prime, residues }) => residues.has(Number(modulus % BigInt(prime))));
}

/** Fermat: n = a² - b² with a just above the root of n. */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  for (let round = 0; round < fermatRounds; round += 1, a += 1n) {
    const square = a * a - modulus;
    // A square is 0, 1, 4, 9, 16, 17, 25, 33, 36, 41, 49 or 57 modulo 64: most need no root.
    if (!squaresModulo64.has(Number(square & 63n))) continue;
    const b = squareRoot(square);
    if (b * b === square) return true;
  }
  return false;
}

const squaresModulo64 = new Set(Array.from({ length: 64 }, (_, value) => (value * value) % 64));

/** The whole part of a square root, by Newton's method. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt(Math.ceil(value.toString(16).length * 2));
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function primesUpTo(max: number): number[] {
  const primes: number[] = [];
  for (let value = 2; value <= max; value += 1) {
    if (primes.every((prime) => value % prime !== 0)) primes.push(value);
  }
  return primes;
}

function refuse(message: string): DomainError {
  return new DomainError("invalid-argument", message, {
    hint: "make a new key, with another program: openssl does",
  });
}
