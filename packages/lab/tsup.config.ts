import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { defineConfig, type Options } from "tsup";
import { library } from "../../tsup.base.ts";

/** Other people's packages inside the command line, by where they are installed. */
const BUNDLED: Record<string, string> = {
  commander: "node_modules/commander",
  eventemitter3: "../xen/node_modules/eventemitter3",
};

/** Licences are handed on with the code. */
async function writeNotices(): Promise<void> {
  const texts = Object.entries(BUNDLED).map(
    ([name, directory]) =>
      `${name}\n\n${readFileSync(new URL(`${directory}/LICENSE`, import.meta.url), "utf8")}`,
  );
  writeFileSync(new URL("dist/third-party-notices.txt", import.meta.url), texts.join("\n"));
}

/** Compiled code of an earlier program: V8 would take it for this one's if both are of one length. */
function dropCompiledCode(): void {
  rmSync(new URL("dist/program.cjs.cache", import.meta.url), { force: true });
}

const configs: Options[] = [
  // No clean: the builds share dist and run at once (the build script empties it first).
  { ...library(), clean: false },
  // The command line is Node only, and never imported: no declarations. One file without white space, because finding
  // and parsing modules is most of its start-up; CommonJS, because that is what V8's compiled code can be kept for.
  {
    ...library({ program: "src/cli.ts", "point-worker": "src/results/point-worker.ts" }),
    format: ["cjs"],
    splitting: false,
    platform: "node",
    dts: false,
    clean: false,
    // Modules ask where they are by import.meta.url, which CommonJS does not have.
    shims: true,
    noExternal: [/^@hyperwalk\//, ...Object.keys(BUNDLED)],
    esbuildOptions(options) {
      options.conditions = ["@hyperwalk/source"];
      options.minifyWhitespace = true;
      options.minifySyntax = true;
    },
    async onSuccess() {
      dropCompiledCode();
      await writeNotices();
    },
  },
  {
    ...library({ cli: "src/cli/launcher.ts" }),
    format: ["cjs"],
    platform: "node",
    dts: false,
    clean: false,
    sourcemap: false,
  },
];

export default defineConfig(configs) as Options[];
