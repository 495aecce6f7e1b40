import { defineConfig, type Options } from "tsup";
import { library } from "../../tsup.base.ts";

const configs: Options[] = [
  // No clean: the two builds share dist and run at once (the build script empties it first).
  { ...library(), clean: false },
  // The command line is Node only, and never imported: ESM, no declarations.
  {
    ...library({ cli: "src/cli.ts" }),
    format: ["esm"],
    platform: "node",
    dts: false,
    clean: false,
  },
];

export default defineConfig(configs) as Options[];
