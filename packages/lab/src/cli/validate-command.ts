import { BlockError, type FilledPage, fillBlocks } from "../report/generated-blocks.js";
import { validationBlocks } from "../report/validation-page.js";
import { type ValidationDocument, validate } from "../validation/validate.js";
import { LONG_PARTS, VALIDATION_PARTS, type ValidationPartName } from "../validation/validation-parts.js";
import { readText, writeFile } from "./files.js";
import type { Output } from "./output.js";
import { progressBar } from "./progress.js";
import { UsageError } from "./usage-error.js";

/** Options of `hyperwalk validate` as the command line gives them. */
export interface ValidateOptions {
  readonly only?: readonly ValidationPartName[];
  readonly long?: boolean;
  readonly write?: string;
  readonly check?: string;
  readonly json?: boolean;
}

const A_PAGE = "a page with generated blocks, as docs/validation.md";

/** `hyperwalk validate`: every published figure beside its prediction. @returns the exit code */
export async function validateCommand(options: ValidateOptions, output: Output): Promise<number> {
  const { write, check, json } = options;
  const parts = partsOf(options);
  if (write !== undefined && check !== undefined)
    throw new UsageError("option --check", "with --write", "one of the two");
  if (json && check !== undefined) throw new UsageError("option --json", "with --check", "one of the two");
  const path = write ?? check;
  // A page that is not there is told before the minute that everything takes.
  const option = write !== undefined ? "option --write" : "option --check";
  const page = path === undefined ? "" : readText(option, path, A_PAGE);
  const progress = await progressBar("parts", parts.length);
  const document = validate({ parts, onPart: progress.advance });
  progress.stop();
  const filled = path === undefined ? undefined : fill(path, page, document);
  if (filled !== undefined && check !== undefined) {
    if (filled.changed.length === 0) output.out(`${check} is up to date\n`);
    else
      output.err(
        `${check} is stale: ${filled.changed.join(", ")}; run: hyperwalk validate --write ${check}\n`,
      );
    return filled.changed.length === 0 ? 0 : 1;
  }
  if (filled !== undefined && path !== undefined && filled.changed.length > 0)
    writeFile(option, path, filled.text);
  if (json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else if (filled !== undefined)
    output.out(
      filled.changed.length === 0
        ? `${path} was up to date\n`
        : `wrote ${path}: ${filled.changed.join(", ")}\n`,
    );
  else {
    const { validateReport } = await import("../report/validate-report.js");
    output.out(validateReport(document, output.paint));
  }
  return 0;
}

function partsOf({ only, long }: ValidateOptions): readonly ValidationPartName[] {
  if (only === undefined)
    return VALIDATION_PARTS.filter((name) => long === true || !LONG_PARTS.includes(name));
  if (long === true) throw new UsageError("option --long", "with --only", "one of the two");
  return only;
}

function fill(path: string, page: string, document: ValidationDocument): FilledPage {
  try {
    return fillBlocks(page, validationBlocks(document));
  } catch (error) {
    if (error instanceof BlockError)
      throw new UsageError(
        `${path}:${error.line}`,
        error.message,
        "each block once, begun and ended by its lines",
      );
    throw error;
  }
}
