import type { ProcessorStorage } from "@hyperwalk/cpu";
import type { Guest } from "../guest.js";
import { type SensitivityRequest, sensitivityFigures } from "../sensitivity/sensitivity.js";
import type { SensitivityFigure } from "../sensitivity/sensitivity-document.js";
import type { SensitivityRun } from "../sensitivity/sensitivity-plan.js";
import { type GuestSource, ScenarioFiles } from "./scenario-files.js";

/** Where a worker finds a guest: guests are programs, and cannot be handed over. */
export interface GuestPlace {
  /** Path of the scenario that names it, or would. */
  readonly file: string;
  readonly guest: GuestSource;
}

/** One comparison of an analysis of sensitivity, for a worker. */
export interface FiguresTask {
  readonly place: GuestPlace;
  /** All but the guest. */
  readonly request: Omit<SensitivityRequest, "guest" | "storage">;
  readonly run: SensitivityRun;
}

/** Runs comparisons one after the other, in a thread of its own. */
export function figuresRunner(
  storage: ProcessorStorage,
): (task: FiguresTask) => Promise<readonly SensitivityFigure[]> {
  const guests = new Map<string, Promise<Guest>>();
  return async ({ place, request, run }) => {
    const key = JSON.stringify(place);
    const guest = guests.get(key) ?? new ScenarioFiles(place.file).guest(place.guest);
    guests.set(key, guest);
    return sensitivityFigures({ ...request, storage, guest: await guest }, run);
  };
}
