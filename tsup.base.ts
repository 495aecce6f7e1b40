import type { Options } from "tsup";
import { inlineConstants } from "./scripts/inline-constants.ts";

/** What every library build shares: ESM and CommonJS, d.ts for both, dependencies left external. */
export function library(entry: Record<string, string> = { index: "src/index.ts" }): Options {
  return {
    entry,
    format: ["esm", "cjs"],
    target: "es2022",
    platform: "neutral",
    sourcemap: true,
    clean: true,
    esbuildPlugins: [inlineConstants()],
    dts: {
      compilerOptions: {
        // tsup still passes baseUrl, which TypeScript 6 deprecates.
        ignoreDeprecations: "6.0",
        composite: false,
        noEmit: false,
        allowImportingTsExtensions: false,
        // d.ts files must name the sibling package, not its source.
        customConditions: [],
      },
    },
  };
}
