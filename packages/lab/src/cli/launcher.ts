#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { wrap } from "node:module";
import { join } from "node:path";
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

const cachedData = QUICK.includes(process.argv[2] ?? "") ? compiledCode() : undefined;
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
