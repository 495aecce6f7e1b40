import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chartSpec, STEP } from "../packages/lab/playground/chart-spec.js";
import { inlineConstants } from "./inline-constants.js";

const SOURCES = fileURLToPath(new URL("../packages/lab/playground/", import.meta.url));
/** Where the package keeps it. */
export const PLAYGROUND_DIRECTORY: string = fileURLToPath(
  new URL("../packages/lab/dist/playground/", import.meta.url),
);

interface BuildResult {
  readonly metafile: { readonly inputs: Readonly<Record<string, unknown>> };
}

interface Esbuild {
  build(options: Record<string, unknown>): Promise<BuildResult>;
}

/** The part of esbuild's plugin interface that is used here. */
interface PluginBuild {
  onLoad(options: { filter: RegExp }, load: () => { contents: string; loader: "js" }): void;
}

/** Files of the page: everything that a server needs to hand out. */
export interface BuiltPlayground {
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/**
 * Makes the playground from its source and the libraries' public entries: static files that work from any folder. Both
 * scripts are classic ones. The simulator's whole text is one function, which a page opened from a file can read and start
 * as a worker; as a worker's own script it starts by itself.
 */
export async function buildPlayground(directory: string = PLAYGROUND_DIRECTORY): Promise<BuiltPlayground> {
  // esbuild comes with tsup; it is not a dependency of the root's own.
  const require = createRequire(import.meta.url);
  const esbuild: Esbuild = createRequire(require.resolve("tsup"))("esbuild");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const common = {
    bundle: true,
    format: "iife",
    platform: "browser",
    target: "es2022",
    conditions: ["@hyperwalk/source"],
    minify: true,
    legalComments: "none",
    logLevel: "silent",
    metafile: true,
    plugins: [compiledChart(), inlineConstants()],
  };
  const results = await Promise.all([
    esbuild.build({
      ...common,
      entryPoints: [join(SOURCES, "page.ts")],
      outfile: join(directory, "page.js"),
    }),
    esbuild.build({
      ...common,
      entryPoints: [join(SOURCES, "chart-script.ts")],
      outfile: join(directory, "chart.js"),
    }),
    esbuild.build({
      ...common,
      entryPoints: [join(SOURCES, "worker.ts")],
      outfile: join(directory, "simulator.js"),
      banner: { js: "globalThis.hyperwalkSimulator=function(){" },
      footer: { js: '};if(typeof document==="undefined")hyperwalkSimulator();' },
    }),
  ]);
  for (const name of ["index.html", "style.css"]) copyFileSync(join(SOURCES, name), join(directory, name));
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  writeFileSync(join(directory, "third-party-notices.txt"), notices(inputs));
  return {
    files: readdirSync(directory)
      .sort()
      .map((name) => ({ name, bytes: statSync(join(directory, name)).size })),
  };
}

/** Puts the chart as Vega-Lite made it in place of what makes it: the page needs Vega alone. */
function compiledChart(): { name: string; setup(build: PluginBuild): void } {
  return {
    name: "compiled-chart",
    setup(build) {
      build.onLoad({ filter: /playground\/chart-spec\.ts$/ }, () => ({
        contents: `export const STEP = ${STEP}; export const chartSpec = ${JSON.stringify(chartSpec)};`,
        loader: "js",
      }));
    },
  };
}

/** Licences of other people's packages are handed on with their code. */
function notices(inputs: readonly string[]): string {
  const found = new Map<string, string>();
  for (const path of inputs) {
    const [, directory, name] = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(path) ?? [];
    if (directory === undefined || name === undefined || found.has(name)) continue;
    const licence = readdirSync(directory).find((file) => /^licen[cs]e/i.test(file));
    if (licence === undefined) throw new Error(`${directory} has no licence file`);
    found.set(name, readFileSync(join(directory, licence), "utf8").trim());
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => `${name}\n\n${text}\n`)
    .join("\n\n");
}
