#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { wrap } from "node:module";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { constants, Script } from "node:vm";

// The built command line: runs dist/program.cjs from the code that V8 compiled for it when it was built. Compiling is
// half of a start; another version of V8 rejects that code and compiles.

const path = join(__dirname, "program.cjs");

function compiledCode(): Buffer | undefined {
  try {
    return readFileSync(`${path}.cache`);
  } catch {
    return undefined;
  }
}

/** Commands whose start counts. Code that was compiled before cannot import ES modules, which the others may have to. */
const QUICK = ["main", "compare", "boot"];

const command = process.argv[2] ?? "";
/** Commands with a simulator on every processor: V8's collecting threads would only take turns with them. */
const BUSY = ["sweep", "report", "sensitivity"];
// Here and nowhere later: a collection that is under way must not lose its threads.
if (BUSY.includes(command))
  for (const what of [
    "concurrent-marking",
    "parallel-scavenge",
    "concurrent-sweeping",
    "concurrent-array-buffer-sweeping",
  ])
    setFlagsFromString(`--no-${what}`);

const cachedData = QUICK.includes(command) ? compiledCode() : undefined;
const { emitWarning } = process;
// The constant below is experimental in Node 20, and would say so on every call of the command.
process.emitWarning = () => undefined;
const script = new Script(wrap(readFileSync(path, "utf8")), {
  filename: path,
  // For packages that are ES modules alone.
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  ...(cachedData === undefined ? {} : { cachedData }),
});
process.emitWarning = emitWarning;
script.runInThisContext()(exports, require, module, path, __dirname);
