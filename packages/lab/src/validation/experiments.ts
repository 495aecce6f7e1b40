import {
  findArmProfile,
  findProfile,
  type ProcessorProfile,
  ProcessorStorage,
  withOverrides,
} from "@hyperwalk/cpu";
import { type ArmRow, armPrices } from "../arm-experiment.js";
import { type CompareRequest, compare } from "../compare.js";
import { hypercallBench } from "../guest-catalogue.js";
import type { CompareDocument, EstimateUsed } from "../result.js";
import { compareTransports, type TransportsDocument } from "../transports.js";
import { type BareInstruction, measureBare } from "./bare-loop.js";
import { type ColdWalk, coldWalkReferences } from "./cold-walk.js";
import { type GuestLoop, type LoopCost, measureLoop } from "./guest-loop.js";
import { LOOP_BODIES, type LoopBodyName } from "./loop-bodies.js";
import { type ChaseOptions, PointerChase } from "./pointer-chase.js";

/** A machine by its id, with prices replaced. */
export interface MachineChoice {
  readonly machine: string;
  /** By key of the profile, see `withOverrides`. */
  readonly overrides?: Readonly<Record<string, number>>;
}

/** A loop by the name of what it does. */
export type LoopChoice = MachineChoice &
  Omit<GuestLoop, "machine" | "body"> & { readonly body: LoopBodyName };

/** A comparison of hypercall-bench under Xen or KVM. */
export type CompareChoice = MachineChoice &
  Omit<CompareRequest, "machine" | "guest" | "fastForward" | "storage">;

/** Notifications of each transport; few are enough, each is like the next. */
const NOTIFICATIONS = 16;

/**
 * Runs what figures ask for, each experiment once however many figures are read off it.
 * Life cycle: one for one validation.
 */
export class Experiments {
  private readonly results = new Map<string, unknown>();
  private readonly storage = new ProcessorStorage();
  private readonly chases = new Map<string, PointerChase>();

  loop(choice: LoopChoice): LoopCost {
    return this.once("loop", choice, () => {
      const { body, overrides, machine, ...rest } = choice;
      const loop = { ...rest, machine: profileOf({ machine, overrides }), body: LOOP_BODIES[body] };
      return measureLoop(loop, this.storage);
    });
  }

  compare(choice: CompareChoice): CompareDocument {
    return this.once("compare", choice, () => {
      const { overrides, machine, ...rest } = choice;
      const { storage } = this;
      return compare({ ...rest, storage, machine: profileOf({ machine, overrides }), guest: hypercallBench });
    });
  }

  transports(machine: string): TransportsDocument {
    return this.once("transports", machine, () =>
      compareTransports({ machine: profileOf({ machine }), iterations: NOTIFICATIONS, batches: [] }),
    );
  }

  /** Cycles of one instruction on a processor without a hypervisor. */
  bare(machine: string, instruction: BareInstruction): number {
    return this.once("bare", { machine, instruction }, () =>
      measureBare(profileOf({ machine }), instruction),
    );
  }

  /** References of a page walk that finds nothing cached. */
  coldWalk(walk: ColdWalk): number {
    return this.once("walk", walk, () => coldWalkReferences(walk));
  }

  /** Load-to-use latency of a pointer chase, cycles. @param most pages that the machine is built for */
  chase(machine: string, most: number, options: ChaseOptions): { latency: number; charged: number } {
    return this.once("chase", { machine, most, options }, () => {
      const key = `${machine} ${most}`;
      const chase = this.chases.get(key) ?? new PointerChase(profileOf({ machine }), most);
      this.chases.set(key, chase);
      const { latency, charged } = chase.run(options);
      return { latency, charged };
    });
  }

  /** Lets go of the machines of chases, which hold hundreds of megabytes. */
  forgetChases(): void {
    this.chases.clear();
  }

  /** A hypercall by physical address on Arm, with everything warm. */
  arm(machine: string): { readonly row: ArmRow; readonly estimates: readonly EstimateUsed[] } {
    return this.once("arm", machine, () => {
      const profile = findArmProfile(machine);
      if (profile === undefined) throw new RangeError(`there is no Arm machine "${machine}"`);
      const { rows, estimates } = armPrices({
        machine: profile,
        stage1: ["4k"],
        stage2: ["4k"],
        states: ["hot"],
        pages: [1],
      });
      return { row: rows[0], estimates };
    });
  }

  private once<T>(kind: string, choice: unknown, run: () => T): T {
    const key = `${kind} ${JSON.stringify(choice)}`;
    if (!this.results.has(key)) this.results.set(key, run());
    return this.results.get(key) as T;
  }
}

/** @throws RangeError for a machine that does not exist */
export function profileOf({
  machine,
  overrides,
}: {
  machine: string;
  overrides?: MachineChoice["overrides"] | undefined;
}): ProcessorProfile {
  const profile = findProfile(machine);
  if (profile === undefined) throw new RangeError(`there is no machine "${machine}"`);
  return overrides === undefined ? profile : withOverrides(profile, overrides);
}
