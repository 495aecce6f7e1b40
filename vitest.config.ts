import { defineConfig, type ViteUserConfig } from "vitest/config";

// Sibling packages resolve to their source: tests need no build.
const conditions = ["@hyperwalk/source", "module", "node", "development|production"];

// They measure what is allocated, which depends on the types that the same code has seen before: a fresh worker for each.
const ALONE = ["packages/cpu/test/vmx/vmx.test.ts", "packages/cpu/test/svm/svm.test.ts"];

const config: ViteUserConfig = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["@hyperwalk/source", "node"] } },
  test: {
    // The default leaves one processor idle.
    maxWorkers: "100%",
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      exclude: ["**/*.gen.ts"],
      reporter: ["text-summary", "html", "json-summary"],
    },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          // Timings are benchmarks, never tests: this is for what hangs, on a busy machine too.
          testTimeout: 30_000,
          // Nothing here keeps state in a module: a worker reads the sources once, not once for each file.
          isolate: false,
          include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["**/node_modules/**", "test/differential/**", "test/browser/**", ...ALONE],
        },
      },
      { extends: true, test: { name: "alone", testTimeout: 30_000, include: ALONE } },
      // Needs gcc: sequences run on this machine's own processor.
      {
        extends: true,
        test: { name: "native", include: ["test/differential/**/*.test.ts"], testTimeout: 60_000 },
      },
      // Needs a Chromium.
      {
        extends: true,
        test: { name: "browser", include: ["test/browser/**/*.test.ts"], testTimeout: 60_000 },
      },
      {
        extends: true,
        test: { name: "bench", include: [], benchmark: { include: ["bench/**/*.bench.ts"] } },
      },
    ],
  },
});

export default config;
