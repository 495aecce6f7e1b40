import { ARM_PROFILES, type ArmProfile, findArmProfile } from "@hyperwalk/cpu";
import type { PageSizeName } from "@hyperwalk/mmu";
import { type ArmState, armExperiment } from "../arm-experiment.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** Options of `hyperwalk arm` as the command line gives them. */
export interface ArmOptions {
  readonly machine: string;
  readonly stage1: readonly PageSizeName[];
  readonly stage2: readonly PageSizeName[];
  readonly state: readonly ArmState[];
  readonly pages: readonly string[];
  readonly bytes: number;
  readonly direction: "in" | "out";
  readonly vaBits?: number;
  readonly ipaBits?: number;
  readonly json?: boolean;
}

/** `hyperwalk arm`: virtual against physical addresses on Arm. @returns the exit code */
export async function armCommand(options: ArmOptions, output: Output): Promise<number> {
  const { state, pages, json, machine, ...rest } = options;
  const document = armExperiment({
    ...rest,
    machine: armMachine(machine),
    states: state,
    pages: pages.map(Number),
  });
  if (json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { armReport } = await import("../report/arm-report.js");
    output.out(armReport(document, output.paint));
  }
  return 0;
}

function armMachine(id: string): ArmProfile {
  const found = findArmProfile(id);
  if (!found)
    throw new UsageError(
      "option --machine",
      `there is no Arm machine "${id}"`,
      ARM_PROFILES.map((profile) => profile.id).join(", "),
    );
  return found;
}
