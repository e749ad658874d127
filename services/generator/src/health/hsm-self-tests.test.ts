import { beforeAll, describe, expect, test } from "vitest";
import { type Algorithm, algorithmRow, algorithms } from "../algorithms.ts";
import type { Hsm, HsmKeySpec } from "../hsm/port.ts";
import { modulePath, useTestToken } from "../hsm/test-support/test-token.ts";
import { runHsmSelfTests } from "./hsm-self-tests.ts";

describe.skipIf(modulePath === undefined)("known answers of the HSM", () => {
  const token = useTestToken();
  let hsm: Hsm;
  beforeAll(() => {
    ({ hsm } = token);
  });

  test("every algorithm that the module has gives its known answers there", async () => {
    expect([...(await runHsmSelfTests(hsm))]).toEqual([]);
  });

  test("an algorithm that the module gets wrong, or not at all, counts as failed", async () => {
    const wrong: Hsm = Object.assign(Object.create(hsm) as Hsm, {
      lacks: (spec: HsmKeySpec) => hsm.lacks(spec),
      takeKey: hsm.takeKey.bind(hsm),
      destroyKey: hsm.destroyKey.bind(hsm),
      signDigest: hsm.signDigest.bind(hsm),
      verifyDigest: async () => true,
      mac: async () => Buffer.alloc(32),
      deriveSecret: async () => {
        throw new Error("does not derive");
      },
      sealAesGcm: hsm.sealAesGcm.bind(hsm),
      openAesGcm: async () => Buffer.alloc(60),
    });
    const failed = await runHsmSelfTests(wrong);
    const tested = (Object.keys(algorithms) as Algorithm[]).filter((algorithm) => {
      const { hsm: spec } = algorithmRow(algorithm);
      return spec !== undefined && hsm.lacks(spec) === undefined;
    });
    expect([...failed].sort()).toEqual(tested.sort());
  });
});
