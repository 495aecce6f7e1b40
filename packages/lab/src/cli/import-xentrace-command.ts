import { basename } from "node:path";
import { importXentrace, recordingLines } from "../recording/import-xentrace.js";
import { RecordingError } from "../recording/recording-error.js";
import { readFile, writeFile } from "./files.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `import-xentrace` says, parsed. */
export interface ImportXentraceOptions {
  readonly output: string;
  readonly domain?: number;
  readonly json?: boolean;
}

/** `hyperwalk import-xentrace`: a trace of a real Xen as a mix of hypercalls. @returns the exit code */
export async function importXentraceCommand(
  path: string,
  { output: to, domain, json }: ImportXentraceOptions,
  output: Output,
): Promise<number> {
  const file = readFile("argument <file>", path);
  try {
    const document = importXentrace(file, { name: basename(path), domain });
    writeFile("option --output", to, recordingLines(document.recording).join(""));
    if (json) output.out(`${JSON.stringify(document, null, 2)}\n`);
    else {
      const { importReport } = await import("../report/mix-report.js");
      output.out(importReport(document, to, output.paint));
    }
    return 0;
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    throw new UsageError("argument <file>", `${path}: ${error.place}: ${error.found}`, error.allowed);
  }
}
