import { defineConfig } from "vitest/config";

/** What computes in a moment takes its time on a machine that is busy with something else. */
const busyMachine = { testTimeout: 60_000, hookTimeout: 120_000 };
/** These share one installation (test/harness): one file after another, and what kills things comes last. */
const installed = { adversary: 2, chaos: 3, e2e: 1 } as const;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          ...busyMachine,
          include: ["packages/**/*.test.ts", "services/**/*.test.ts", "deploy/**/*.test.ts"],
        },
      },
      { test: { name: "tidy", include: ["test/tidy/**/*.test.ts"] } },
      {
        test: {
          name: "conformance",
          ...busyMachine,
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
          ...busyMachine,
        },
      })),
    ],
  },
});
