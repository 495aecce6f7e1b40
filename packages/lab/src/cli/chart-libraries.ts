import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { ChartLibrary } from "../html/page.js";

/** In the order in which a page loads them. */
const NAMES = ["vega", "vega-lite", "vega-embed"] as const;

/** The scripts that draw a report's charts, as they are installed beside this package. */
export function chartLibraries(): ChartLibrary[] {
  // The source is a module, the built command line is not.
  const here = typeof __filename === "string" ? __filename : import.meta.url;
  const require = createRequire(here);
  return NAMES.map((name) => {
    const build = dirname(require.resolve(name));
    const { version } = JSON.parse(readFileSync(join(build, "..", "package.json"), "utf8")) as {
      version: string;
    };
    return {
      name: `${name} ${version}`,
      licence: readFileSync(join(build, "..", "LICENSE"), "utf8"),
      source: readFileSync(join(build, `${name}.min.js`), "utf8"),
    };
  });
}
