import { standardOutput } from "./cli/output.js";
import { runProgram } from "./cli/program.js";

// A reader that has seen enough (`| head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

runProgram(process.argv.slice(2), standardOutput()).then((code) => {
  process.exitCode = code;
});
