import { defineConfig } from "vitest/config";

/** These share one installation (test/harness): one file after another, and what kills things comes last. */
const installed = { adversary: 2, chaos: 3, e2e: 1 } as const;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["packages/**/*.test.ts", "services/**/*.test.ts", "deploy/**/*.test.ts"],
        },
      },
      { test: { name: "tidy", include: ["test/tidy/**/*.test.ts"] } },
      {
        test: {
          name: "conformance",
          include: ["test/conformance/**/*.test.ts", "test/formats/**/*.test.ts"],
        },
      },
      ...Object.entries(installed).map(([name, groupOrder]) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          globalSetup: "test/harness/global-setup.ts",
          fileParallelism: false,
          sequence: { groupOrder },
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      })),
    ],
  },
});
