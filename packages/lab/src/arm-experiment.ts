import {
  type ArmProfile,
  armProfileEstimates,
  armProfileQuantities,
  neoverseN1,
  withArmOverrides,
} from "@hyperwalk/cpu";
import {
  type LedgerRow,
  type LedgerSnapshot,
  MmuCounter,
  type PageSizeName,
  TICKS_PER_CYCLE,
} from "@hyperwalk/mmu";
import { type ArmForm, ArmPhase, ArmSystem, type FormBounds, uninterrupted } from "@hyperwalk/xen";
import { type ArmHazards, armHazards } from "./arm-hazards.js";
import { mergeEstimates } from "./estimates.js";
import type { EstimateUsed } from "./result.js";
import { TOOL } from "./tool.js";

/** Leaves of either stage. */
export const ARM_LEAVES = ["4k", "2m", "1g"] as const;
/**
 * What is warm when the call begins: everything, the guest having just used its buffer; everything but the guest's
 * translations (as after Xen ran another vCPU of the domain on the processor: TLBI VMALLS12E1); nothing.
 */
export const ARM_STATES = ["hot", "tlb-cold", "cold"] as const;
export type ArmState = (typeof ARM_STATES)[number];
/** Pages that the copied structure lies in. */
export const ARM_PAGES = [1, 2] as const;

/** Everything has a default. */
export interface ArmRequest {
  readonly machine?: ArmProfile;
  readonly stage1?: readonly PageSizeName[];
  readonly stage2?: readonly PageSizeName[];
  readonly states?: readonly ArmState[];
  readonly pages?: readonly number[];
  /** Bytes of the structure: 2 to 2048. Default 48, those of struct vcpu_runstate_info. */
  readonly bytes?: number;
  /** `in`: Xen reads the structure (AT S12E1R); `out`: it writes it (AT S12E1W). */
  readonly direction?: "in" | "out";
  readonly vaBits?: number;
  readonly ipaBits?: number;
}

/** Cycles of one cause in one phase. */
export interface ArmCell {
  readonly phase: string;
  readonly cause: string;
  readonly cycles: number;
}

/** One call through one form: a view of the ledger between HVC and the guest's next instruction. */
export interface ArmCost {
  readonly cycles: number;
  /** Table descriptors that the hardware read: for the guest's translations, and for EL2's own. */
  readonly guestWalkReferences: number;
  readonly hostWalkReferences: number;
  /** Stage 2 descriptors that software read. */
  readonly softwareReads: number;
  readonly instructions: number;
  readonly ledger: readonly ArmCell[];
}

/** Both forms in one setting. */
export interface ArmRow {
  readonly stage1: PageSizeName;
  readonly stage2: PageSizeName;
  readonly state: ArmState;
  readonly pages: number;
  readonly va: ArmCost;
  readonly pa: ArmCost;
  /** VA less PA: positive where physical addresses win. */
  readonly difference: number;
  /** The same with the estimates that the two forms do not share at the ends that favour VA, and PA. */
  readonly range: readonly [number, number];
  readonly winner: ArmForm | "neither";
  /**
   * Cycles that AT, its ISB and the accesses to PAR_EL1 would have to cost together for a draw, walks aside; `null`
   * where VA would lose if they were free.
   */
  readonly breakEven: number | null;
  /** The winner is the same at both ends. */
  readonly certain: boolean;
}

/** Plain data, the same bytes for the same inputs. */
export interface ArmDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly machine: { readonly id: string; readonly name: string; readonly ghz: number };
  readonly geometry: {
    readonly vaBits: number;
    readonly ipaBits: number;
    readonly stage2StartLevel: number;
    readonly stage2RootTables: number;
  };
  readonly copy: {
    readonly bytes: number;
    readonly direction: "in" | "out";
    readonly instruction: "AT S12E1R" | "AT S12E1W";
  };
  readonly rows: readonly ArmRow[];
  readonly hazards: ArmHazards;
  readonly estimates: readonly EstimateUsed[];
}

/** Prices that the two forms do not pay alike, and the end of their range that favours the VA form. */
const SHARES = {
  "timing.at": "low",
  "timing.isb": "low",
  "timing.sysregRead": "low",
  "timing.sysregWrite": "low",
  // The software walk is the form with more instructions.
  "timing.issue": "high",
} as const;
const BOUNDS: readonly FormBounds[] = [
  { va: "value", pa: "value" },
  { va: "low", pa: "high" },
  { va: "high", pa: "low" },
];
/** Calls before the measured one, after which nothing changes any more. */
const WARM_UP = 4;

/**
 * Prices a hypercall that copies one structure, by virtual and by physical address, in every setting asked for, and lets
 * both meet a break-before-make change at every point.
 * @throws RangeError for a setting that does not exist
 */
export function armExperiment(request: ArmRequest = {}): ArmDocument {
  const { machine = neoverseN1, bytes = 48, direction = "in" } = request;
  const { rows, estimates } = armPrices(request);
  const geometry = geometryOf(request);
  const sample = new ArmSystem({ profile: machine, ...geometry });
  return {
    tool: TOOL,
    machine: { id: machine.id, name: machine.name, ghz: machine.frequency.value },
    geometry: {
      vaBits: sample.vaBits,
      ipaBits: sample.p2m.ipaBits,
      stage2StartLevel: sample.p2m.tables.startLevel,
      stage2RootTables: sample.p2m.tables.rootTables,
    },
    copy: { bytes, direction, instruction: direction === "in" ? "AT S12E1R" : "AT S12E1W" },
    rows,
    hazards: armHazards(machine, geometry),
    estimates,
  };
}

/** The prices alone: a row for each setting, and the estimates that they rest on. */
export function armPrices(request: ArmRequest = {}): {
  readonly rows: readonly ArmRow[];
  readonly estimates: readonly EstimateUsed[];
} {
  const { machine = neoverseN1, bytes = 48, direction = "in" } = request;
  const { stage1 = ARM_LEAVES, stage2 = ARM_LEAVES, states = ARM_STATES, pages = ARM_PAGES } = request;
  if (!Number.isInteger(bytes) || bytes < 2 || bytes > 2048)
    throw new RangeError(`bytes: ${bytes}; allowed: a whole number from 2 to 2048`);
  const wrong = pages.find((count) => count !== 1 && count !== 2);
  if (wrong !== undefined) throw new RangeError(`pages: ${wrong}; allowed: ${ARM_PAGES.join(", ")}`);
  const profiles = [machine, favouring(machine, "va"), favouring(machine, "pa")];
  const estimates = [armProfileEstimates(machine)];
  const rows = stage1.flatMap((leaf1) =>
    stage2.flatMap((leaf2) => {
      const systems = profiles.map(
        (profile, i) =>
          new ArmSystem({
            profile,
            bounds: BOUNDS[i],
            stage1: leaf1,
            stage2: leaf2,
            ...geometryOf(request),
          }),
      );
      const found = states.flatMap((state) =>
        pages.map((count): ArmRow => {
          const setting = { state, pages: count, bytes, toGuest: direction === "out" };
          const [both, ...ends] = systems.map((system) => ({
            va: measure(system, "va", setting),
            pa: measure(system, "pa", setting),
          }));
          const difference = both.va.cycles - both.pa.cycles;
          const [least, most] = ends.map(({ va, pa }) => va.cycles - pa.cycles);
          const winner = winnerOf(difference);
          return {
            stage1: leaf1,
            stage2: leaf2,
            state,
            pages: count,
            ...both,
            difference,
            range: [least, most],
            winner,
            breakEven: breakEven(both.va, difference),
            certain: winnerOf(least) === winner && winnerOf(most) === winner,
          };
        }),
      );
      estimates.push(systems[0].estimates());
      return found;
    }),
  );
  return { rows, estimates: mergeEstimates(estimates) };
}

function geometryOf({ vaBits, ipaBits }: ArmRequest): { vaBits?: number; ipaBits?: number } {
  return { ...(vaBits === undefined ? {} : { vaBits }), ...(ipaBits === undefined ? {} : { ipaBits }) };
}

interface Setting {
  readonly state: ArmState;
  readonly pages: number;
  readonly bytes: number;
  readonly toGuest: boolean;
}

/** One call in one state: everything is forgotten, warmed up, and then made as cold as the state says. */
function measure(system: ArmSystem, form: ArmForm, { state, pages, bytes, toGuest }: Setting): ArmCost {
  const { mmu, ledger, cost } = system.elements[0];
  const offset = pages === 1 ? 0 : 4096 - Math.floor(bytes / 2);
  const call = () => uninterrupted(system.hypercall(form, offset, new Uint8Array(bytes), toGuest));
  const forget = () => {
    mmu.flushCaches();
    mmu.translations.dropAll();
    cost.forget();
  };
  forget();
  for (let i = 0; i < WARM_UP; i++) {
    system.touchBuffer(offset, bytes);
    call();
  }
  system.touchBuffer(offset, bytes);
  if (state === "cold") forget();
  else if (state === "tlb-cold") mmu.tlbi({ op: "vmalls12e1" });
  const before = ledger.snapshot();
  const { instructions, tableReads } = cost;
  mmu.counters.fill(0);
  const { left } = call();
  if (left !== 0) throw new Error(`the ${form} form left ${left} bytes`);
  return costSince(system, before, instructions, tableReads);
}

/** What an element's ledger and counters have seen since; the counters were zero then. */
function costSince(
  system: ArmSystem,
  before: LedgerSnapshot,
  instructions: number,
  tableReads: number,
): ArmCost {
  const { mmu, ledger, cost } = system.elements[0];
  const { counters } = mmu;
  const guest = counters[MmuCounter.GuestReferences] + counters[MmuCounter.SecondStageReferences];
  return {
    cycles: (ledger.clock[0] - before.clock) / TICKS_PER_CYCLE,
    guestWalkReferences: guest,
    hostWalkReferences: counters[MmuCounter.WalkReferences] - guest,
    softwareReads: cost.tableReads - tableReads,
    instructions: cost.instructions - instructions,
    ledger: ledger.rows(before).map(({ phase, cause, ticks }: LedgerRow) => ({
      phase,
      cause,
      cycles: ticks / TICKS_PER_CYCLE,
    })),
  };
}

/** The instruction's own price in a ledger, without what makes the difference. */
function breakEven({ ledger }: ArmCost, difference: number): number | null {
  const own = ledger
    .filter(({ phase, cause }) => phase === ArmPhase.AddressTranslation && cause === "serialise")
    .reduce((sum, { cycles }) => sum + cycles, 0);
  return own >= difference ? own - difference : null;
}

function winnerOf(difference: number): ArmForm | "neither" {
  return difference === 0 ? "neither" : difference < 0 ? "va" : "pa";
}

/** The profile with the prices of {@link SHARES} at the ends that favour a form. */
function favouring(machine: ArmProfile, form: ArmForm): ArmProfile {
  const known = new Map(armProfileQuantities(machine));
  const overrides = Object.entries(SHARES).map(([key, end]): readonly [string, number] => {
    const { value, range } = known.get(key) ?? { value: 0, range: undefined };
    const low = (end === "low") === (form === "va");
    return [key, range?.[low ? 0 : 1] ?? value];
  });
  return withArmOverrides(machine, Object.fromEntries(overrides));
}
