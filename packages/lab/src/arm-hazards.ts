import type { ArmProfile } from "@hyperwalk/cpu";
import { ArmFault, describeFault, Par, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import {
  type ArmForm,
  ArmSystem,
  everyMeeting,
  type Meeting,
  meet,
  type PreparedChange,
  primeCaller,
  stage1Change,
  stage2Change,
  uninterrupted,
} from "@hyperwalk/xen";

/** What became of one call. */
export interface ArmOutcome {
  /** 0, or -EFAULT (-14) as the guest gets it. */
  readonly result: number;
  /** `at`, `second attempt` (software, after the instruction failed) or `p2m`. */
  readonly by: string;
  /** What PAR_EL1 said of a translation that failed, in words; null otherwise. */
  readonly fault: string | null;
  /** Steps of the change that the call waited for at the p2m lock. */
  readonly waitedFor: number;
  readonly cycles: number;
}

/** A call made between two steps of a change: the second processing element has taken `steps` of them. */
export interface ArmPoint {
  readonly steps: number;
  /** The last step taken, or "none". */
  readonly after: string;
  /** The caller's TLB holds the buffer's translation, or not. */
  readonly vaCached: ArmOutcome;
  readonly vaUncached: ArmOutcome;
  readonly pa: ArmOutcome;
}

/** All ways in which the steps of a call and of a change can follow each other. */
export interface ArmInterleavings {
  readonly form: ArmForm;
  readonly cached: boolean;
  readonly total: number;
  /** The guest got -EFAULT. */
  readonly failed: number;
  /** The instruction failed and software found the page. */
  readonly rescued: number;
}

/** One change of a mapping. */
export interface ArmHazard {
  readonly change: string;
  readonly points: readonly ArmPoint[];
  readonly interleavings: readonly ArmInterleavings[];
}

/** A call whose AT fails although nothing is being changed: stage 2's valid bits are clear, its types are not. */
export interface ArmTracking {
  readonly va: ArmOutcome;
  readonly pa: ArmOutcome;
}

export interface ArmHazards {
  /** The guest breaks up a block of its stage 1. */
  readonly stage1: ArmHazard;
  /** Xen breaks up a superpage of the p2m. */
  readonly stage2: ArmHazard;
  /** After `p2m_invalidate_root` (set/way emulation). */
  readonly tracking: ArmTracking;
}

const EFAULT = -14;
const BYTES = 48;

/** Lets both forms meet changes of a 2 MiB mapping of either stage. */
export function armHazards(
  profile: ArmProfile,
  geometry: { readonly vaBits?: number; readonly ipaBits?: number } = {},
): ArmHazards {
  const options = { profile, stage1: "2m", stage2: "2m", elements: 2, ...geometry } as const;
  return {
    stage1: hazard(new ArmSystem(options), stage1Change, "the guest splits a 2 MiB block of its stage 1"),
    stage2: hazard(new ArmSystem(options), stage2Change, "Xen splits a 2 MiB superpage of the p2m"),
    tracking: tracking(new ArmSystem(options)),
  };
}

function hazard(
  system: ArmSystem,
  prepare: (system: ArmSystem) => PreparedChange,
  change: string,
): ArmHazard {
  const prepared = prepare(system);
  const ready = (form: ArmForm, cached: boolean) => () => primeCaller(system, form, cached);
  const once = (steps: number, form: ArmForm, cached: boolean): Meeting => {
    prepared.reset();
    ready(form, cached)();
    return meet(system, prepared.change, form, [steps]);
  };
  // The first time warms what only this outcome executes.
  const at = (steps: number, form: ArmForm, cached: boolean): ArmOutcome => {
    once(steps, form, cached);
    return outcome(once(steps, form, cached));
  };
  const names = ["none", ...prepared.change.map(({ name }) => name)];
  return {
    change,
    points: names.map((after, steps) => ({
      steps,
      after,
      vaCached: at(steps, "va", true),
      vaUncached: at(steps, "va", false),
      pa: at(steps, "pa", false),
    })),
    interleavings: [
      { form: "va", cached: true } as const,
      { form: "va", cached: false } as const,
      { form: "pa", cached: false } as const,
    ].map(({ form, cached }) => {
      const all = everyMeeting(
        system,
        prepared,
        form,
        () => {
          if (cached) system.touchBuffer(0, BYTES);
        },
        // The VA form's steps at which it can see the change at all: its second attempt has many others.
        ({ kind }) => form === "pa" || prepare !== stage1Change || kind === "at" || kind === "stage1",
      );
      const failed = all.filter(({ result }) => result.left !== 0).length;
      const rescued = all.filter(
        ({ result }) => result.left === 0 && result.pages.some(({ by }) => by === "second attempt"),
      ).length;
      return { form, cached, total: all.length, failed, rescued };
    }),
  };
}

function tracking(system: ArmSystem): ArmTracking {
  const { mmu, ledger } = system.elements[0];
  const call = (form: ArmForm) => {
    for (let i = 0; i < 2; i++) primeCaller(system, form, false);
    const before = ledger.clock[0];
    const bytes = new Uint8Array(BYTES);
    const result = uninterrupted(system.hypercall(form, 0, bytes, false));
    const cycles = (ledger.clock[0] - before) / TICKS_PER_CYCLE;
    return outcome({ result, bytes, cycles, schedule: [], waitedFor: 0 });
  };
  system.p2m.invalidateRoot();
  mmu.tlbi({ op: "vmalls12e1" });
  return { va: call("va"), pa: call("pa") };
}

function outcome({ result, waitedFor, cycles }: Meeting): ArmOutcome {
  const { left, pages } = result;
  const last = pages[pages.length - 1];
  const par = pages.map((page) => page.par).find((word) => word !== null && (word & Par.Fault) !== 0n);
  return {
    result: left === 0 ? 0 : EFAULT,
    by: last.by,
    fault: par == null ? null : faultOf(par),
    waitedFor,
    cycles,
  };
}

function faultOf(par: bigint): string {
  const fault = new ArmFault();
  fault.status = Number((par >> Par.StatusShift) & 0x3fn);
  fault.stage2 = (par & Par.Stage2) !== 0n;
  fault.onWalk = (par & Par.OnWalk) !== 0n;
  return describeFault(fault);
}
