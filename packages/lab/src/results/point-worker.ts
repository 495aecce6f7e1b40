import { ProcessorStorage } from "@hyperwalk/cpu";
import { FileError } from "../file-error.js";
import { type ParsedScenario, parseScenario } from "../scenario/parse-scenario.js";
import type { SensitivityFigure } from "../sensitivity/sensitivity-document.js";
import { type FinishedPoint, runPoint } from "../sweep/run-point.js";
import { type FiguresTask, figuresRunner } from "./figures-task.js";
import { ScenarioFiles } from "./scenario-files.js";

/** What a worker is asked to run. */
export interface PointTask {
  /** Path of the scenario, and its text as it was when the sweep began. */
  readonly file: string;
  readonly text: string;
  readonly index: number;
}

/** A finished point, or the parts of the error that a worker cannot hand over as an object. */
export type PointAnswer =
  | { readonly point: FinishedPoint }
  | {
      readonly refused: readonly [file: string, line: number, key: string, problem: string, allowed: string];
    };

interface Loaded {
  readonly task: PointTask;
  readonly parsed: ParsedScenario;
  readonly files: ScenarioFiles;
}

/** Runs points of one scenario after the other, in a thread of its own. */
export function pointRunner(
  storage: ProcessorStorage = new ProcessorStorage(),
): (task: PointTask) => Promise<PointAnswer> {
  let loaded: Loaded | undefined;
  return async (task) => {
    if (loaded?.task.file !== task.file || loaded.task.text !== task.text)
      loaded = { task, parsed: parseScenario(task.text, task.file), files: new ScenarioFiles(task.file) };
    try {
      return { point: await runPoint(loaded.parsed, task.index, loaded.files, storage) };
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      const { file, line, key, problem, allowed } = error;
      return { refused: [file, line, key, problem, allowed] };
    }
  };
}

const storage = new ProcessorStorage();
const [point, figures] = [pointRunner(storage), figuresRunner(storage)];

/** The program of a worker. */
export default function answer(
  task: PointTask | FiguresTask,
): Promise<PointAnswer | readonly SensitivityFigure[]> {
  return "index" in task ? point(task) : figures(task);
}
