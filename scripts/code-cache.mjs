// Runs the built command line once and keeps the code that V8 compiled for it; packages/lab/src/cli/launcher.ts starts
// from it. The build drops the code of an earlier program, which V8 would tell only by its length.
import { readFileSync, writeFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, Script } from "node:vm";

const path = fileURLToPath(new URL("../packages/lab/dist/program.cjs", import.meta.url));
const script = new Script(Module.wrap(readFileSync(path, "utf8")), {
  filename: path,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});

process.argv = [process.execPath, path, "compare", "hypercall-bench", "--iterations", "2", "--json"];
process.stdout.write = () => true;
process.on("exit", (code) => {
  if (code === 0) writeFileSync(`${path}.cache`, script.createCachedData());
});
const module = { exports: {} };
script.runInThisContext()(module.exports, createRequire(path), module, path, dirname(path));
