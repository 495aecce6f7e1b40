import { runName } from "../report/run-name.js";
import { defaultWorkers } from "../results/point-pool.js";
import { sharedSensitivity } from "../results/shared-sensitivity.js";
import { UnknownEstimateError } from "../sensitivity/sensitivity.js";
import type { SensitivityDocument } from "../sensitivity/sensitivity-document.js";
import { compareRequest, imageProblem } from "./compare-command.js";
import { isBuiltIn } from "./guest-argument.js";
import type { Output } from "./output.js";
import { type Progress, progressBar } from "./progress.js";
import type { SensitivityOptions } from "./sensitivity-options.js";
import { UsageError } from "./usage-error.js";

/** `hyperwalk sensitivity`: which estimates a comparison's figures hang on. @returns the exit code */
export async function sensitivityCommand(
  guest: string,
  options: SensitivityOptions,
  output: Output,
): Promise<number> {
  const request = await compareRequest(guest, options);
  const keys = options.key.length === 0 ? {} : { keys: options.key };
  const document = await analysed(guest, { ...request, ...keys }, options.workers ?? defaultWorkers());
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { sensitivityReport } = await import("../report/sensitivity-report.js");
    output.out(sensitivityReport(document, output.paint));
  }
  return exitCode(document, output);
}

async function analysed(
  guest: string,
  request: Parameters<typeof sharedSensitivity>[0],
  workers: number,
): Promise<SensitivityDocument> {
  let bar: Progress | undefined;
  try {
    return await sharedSensitivity(
      request,
      { file: "command-line", guest: isBuiltIn(guest) ? { name: guest } : { elf: guest } },
      {
        workers,
        started: async (runs) => {
          bar = await progressBar("comparisons", runs);
        },
        advance: () => bar?.advance(),
      },
    );
  } catch (error) {
    if (error instanceof UnknownEstimateError)
      throw new UsageError("option --key", `no run rests on "${error.key}"`, error.allowed);
    throw imageProblem(guest, error);
  } finally {
    bar?.stop();
  }
}

/** 1 when a guest ended badly, after saying so on standard error. */
function exitCode({ runs, baseline, inputs }: SensitivityDocument, output: Output): number {
  const bad: string[] = [];
  runs.forEach((run, at) => {
    if (baseline[at].cyclesPerCall === null) bad.push(runName(run));
    else
      for (const { key, low, high } of inputs)
        for (const { value, figures } of [low, high])
          if (figures[at].cyclesPerCall === null) bad.push(`${runName(run)} with ${key} = ${value}`);
  });
  for (const each of bad) output.err(`error: guest under ${each}: ended badly or made no hypercall\n`);
  return bad.length === 0 ? 0 : 1;
}
