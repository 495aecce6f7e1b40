import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { inlineConstants } from "./inline-constants.js";

/** What to bundle: TypeScript source, and for which platform. */
export interface BundleRequest {
  readonly contents: string;
  /** Directory from which `contents` imports. */
  readonly resolveDir: string;
  readonly platform: "browser" | "node";
}

interface EsbuildResult {
  readonly outputFiles: readonly { readonly text: string }[];
}

interface Esbuild {
  build(options: Record<string, unknown>): Promise<EsbuildResult>;
}

/**
 * Bundles code that imports the workspace's packages, from their source as the published builds are made of it, into
 * one script; no build needed.
 */
export async function bundle(request: BundleRequest): Promise<string> {
  // esbuild comes with tsup; it is not a dependency of its own.
  const require = createRequire(import.meta.url);
  const esbuild: Esbuild = createRequire(require.resolve("tsup"))("esbuild");
  const { outputFiles } = await esbuild.build({
    stdin: { contents: request.contents, resolveDir: request.resolveDir, loader: "ts" },
    bundle: true,
    format: request.platform === "browser" ? "iife" : "esm",
    platform: request.platform,
    target: "es2022",
    conditions: ["@hyperwalk/source"],
    write: false,
    logLevel: "silent",
    plugins: [inlineConstants()],
    // CommonJS dependencies of the command line ask for Node's modules by `require`.
    ...(request.platform === "node"
      ? {
          banner: {
            js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
          },
        }
      : {}),
  });
  return outputFiles[0].text;
}

/** The directory of a module, for {@link BundleRequest.resolveDir}. */
export function directoryOf(moduleUrl: string): string {
  return fileURLToPath(new URL(".", moduleUrl));
}
