import { describe, expect, test } from "vitest";
import type { Certificate } from "./read-certificate.ts";
import { createAuthority, day, issueLeaf } from "./test-support/authority.ts";
import { verifyChain } from "./verify-chain.ts";

const root = await createAuthority("Root", undefined, { basicConstraints: { ca: true, pathLength: 1 } });
const issuing = await createAuthority("Issuing", root, { basicConstraints: { ca: true, pathLength: 0 } });
const leaf = await issueLeaf(issuing);

function reasons(
  subject: Certificate,
  intermediates: Certificate[],
  roots = [root.certificate],
  at = new Date(),
): string {
  const verdict = verifyChain({ leaf: subject, intermediates, roots, at });
  return verdict.trusted ? "trusted" : verdict.reasons.join("; ");
}

describe("a chain", () => {
  test("of two or three levels is trusted", async () => {
    const verdict = verifyChain({
      leaf,
      intermediates: [issuing.certificate],
      roots: [root.certificate],
      at: new Date(),
    });
    expect(verdict).toMatchObject({ trusted: true, chain: { length: 3 } });
    expect(reasons(await issueLeaf(root), [])).toBe("trusted");
  });

  test("says which certificate has expired or is not valid yet", () => {
    const late = new Date(Date.now() + 2 * day);
    expect(reasons(leaf, [issuing.certificate], undefined, late)).toMatch(
      /^the certificate of spiffe:\S+ expired on/,
    );
    const early = new Date(Date.now() - 2 * day);
    expect(reasons(leaf, [issuing.certificate], undefined, early).match(/not valid before/g)).toHaveLength(3);
  });

  test("holds through the whole last second and not after it", () => {
    const last = leaf.notAfter.getTime();
    expect(reasons(leaf, [issuing.certificate], undefined, new Date(last + 999))).toBe("trusted");
    expect(reasons(leaf, [issuing.certificate], undefined, new Date(last + 1000))).toMatch(/expired/);
  });

  test("says who is missing", () => {
    expect(reasons(leaf, [])).toMatch(/issued by O=Claviger, CN=Issuing, which is not among/);
    expect(reasons(leaf, [issuing.certificate], [])).toMatch(/leads to no root/);
  });

  test("of a stranger's CA with the same name is told apart by its signature", async () => {
    const stranger = await createAuthority("Root");
    expect(reasons(await issueLeaf(stranger), [])).toMatch(/not signed by the key of/);
    // And the right one is found beside it.
    const both = [stranger.certificate, root.certificate];
    expect(reasons(leaf, [issuing.certificate], both)).toBe("trusted");
  });

  test("does not pass through a leaf, or past a path length", async () => {
    const named = { subject: { commonName: "Leaf" } };
    const middle = await issueLeaf(issuing, named);
    const under = await issueLeaf({ ...issuing, certificate: middle });
    expect(reasons(under, [middle, issuing.certificate])).toMatch(/is not a CA.*may not sign.*key usage/);
    const deeper = await createAuthority("Deeper", issuing);
    const far = await issueLeaf(deeper);
    expect(reasons(far, [deeper.certificate, issuing.certificate])).toMatch(
      /allows 0 CAs below it, and there are 1/,
    );
  });

  test("of a hostile bundle, where each names each, ends", async () => {
    const crowd = await Promise.all(Array.from({ length: 12 }, () => createAuthority("Crowd")));
    const victim = await issueLeaf(crowd[0]!);
    const all = crowd.map(({ certificate }) => certificate);
    expect(reasons(victim, all)).toMatch(/leads to no root/);
  });
});
