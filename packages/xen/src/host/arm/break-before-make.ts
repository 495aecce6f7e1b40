import { type ArmDescriptor, Cause, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { ArmCopyResult } from "./arm-guest-copy.js";
import { GUEST_BUFFER, GUEST_RAM, GUEST_RAM_MACHINE } from "./arm-layout.js";
import { ArmPhase } from "./arm-stage.js";
import type { ArmForm, ArmSystem } from "./arm-system.js";
import { type CopyStep, uninterrupted } from "./copy-step.js";

/** One step of a change of a mapping, by another processing element than the one that makes the hypercall. */
export interface ChangeStep {
  readonly name: string;
  /** Cycles that it takes the processing element that makes it: what others wait for. */
  readonly cycles: number;
  readonly apply: () => void;
}

/** Steps of a change in order, each in words. */
export type Change = readonly ChangeStep[];

/** Processing elements of these experiments: the caller's and the one that changes the mapping. */
const CALLER = 0;
const CHANGER = 1;

/** What a change of a mapping leaves memory like when it is over, and how to begin again. */
export interface PreparedChange {
  readonly change: Change;
  /** Puts the descriptor and every TLB back to before the change. */
  readonly reset: () => void;
}

/**
 * The guest breaks up the block of its stage 1 that holds the buffer: break, invalidate, make (Arm ARM DDI 0487,
 * D8.14.1), as a kernel does for a change of permissions within a block. Old and new mapping lead to the same frame.
 */
export function stage1Change(system: ArmSystem): PreparedChange {
  const { guestTables, domain, elements } = system;
  const before = guestTables.find(GUEST_BUFFER);
  const after = guestTables.prepareSplit(GUEST_BUFFER);
  const { mmu } = elements[CHANGER];
  const write = (descriptor: ArmDescriptor) =>
    domain.store(
      mmu,
      descriptor.table - GUEST_RAM + GUEST_RAM_MACHINE,
      descriptor.offset,
      descriptor.lo,
      descriptor.hi,
    );
  const page = Number(system.bufferAddress("va", 0) >> 12n);
  const { issue, dsb, isb, tlbi, dsbAfterBroadcast } = system.timing;
  return {
    change: [
      { name: "descriptor made invalid", cycles: issue, apply: () => write({ ...before, lo: 0, hi: 0 }) },
      { name: "DSB ISHST", cycles: dsb, apply: () => {} },
      { name: "TLBI VAAE1IS issued", cycles: tlbi, apply: () => domain.issue(mmu, { op: "vaae1", page }) },
      { name: "DSB ISH: TLBI complete", cycles: dsbAfterBroadcast, apply: () => domain.complete(mmu) },
      { name: "new descriptor written", cycles: issue, apply: () => write(after) },
      { name: "DSB ISHST, ISB", cycles: dsb + isb, apply: () => {} },
    ],
    reset: () => {
      domain.deliver();
      write(before);
      forgetTranslations(system);
    },
  };
}

/**
 * Xen breaks up the p2m's superpage that holds the buffer (`p2m_split_superpage` in `__p2m_set_entry`), under the write
 * lock, with TLBI VMALLS12E1IS.
 */
export function stage2Change(system: ArmSystem): PreparedChange {
  const { p2m, domain, elements } = system;
  const before = p2m.tables.find(GUEST_BUFFER);
  const after = p2m.tables.prepareSplit(GUEST_BUFFER);
  const { mmu } = elements[CHANGER];
  const write = ({ table, offset, lo, hi }: ArmDescriptor) => domain.store(mmu, table, offset, lo, hi);
  const { exclusive, dmb, dsb, isb, tlbi, dsbAfterBroadcast } = system.timing;
  // write_pte has a DSB SY before and after the store.
  return {
    change: [
      { name: LOCK, cycles: exclusive + 2 * dmb, apply: () => p2m.writeLock() },
      { name: "descriptor made invalid", cycles: 2 * dsb, apply: () => write({ ...before, lo: 0, hi: 0 }) },
      {
        name: "TLBI VMALLS12E1IS issued",
        cycles: dsb + tlbi,
        apply: () => domain.issue(mmu, { op: "vmalls12e1" }),
      },
      {
        name: "DSB ISH: TLBI complete",
        cycles: dsbAfterBroadcast + isb,
        apply: () => domain.complete(mmu),
      },
      { name: "new descriptor written", cycles: 2 * dsb, apply: () => write(after) },
      { name: "p2m_write_unlock", cycles: exclusive + dmb, apply: () => p2m.writeUnlock() },
    ],
    reset: () => {
      domain.deliver();
      if (p2m.writeLocked) p2m.writeUnlock();
      write(before);
      forgetTranslations(system);
    },
  };
}

function forgetTranslations({ elements }: ArmSystem): void {
  for (const { mmu } of elements) mmu.translations.dropAll();
}

/** What became of a hypercall that met a change. */
export interface Meeting {
  readonly result: ArmCopyResult;
  /** What the call read from the guest's buffer. */
  readonly bytes: Uint8Array;
  /** Cycles of the whole call, waiting included. */
  readonly cycles: number;
  /** Steps of the change that were taken before each step of the call. */
  readonly schedule: readonly number[];
  /** Steps of the change that the call waited for at the p2m lock. */
  readonly waitedFor: number;
}

const LOCK = "p2m_write_lock";

/** A hypercall of these experiments: 48 bytes, in one page. */
const BYTES = 48;

/** Which steps of a call are told apart. */
export type ChosenSteps = (step: CopyStep) => boolean;

/**
 * Makes a hypercall while a change goes on: before the n-th of its chosen steps, the change has got as far as
 * `schedule[n]` says (the last number counts for all further ones), and the rest of the change comes after the call. A
 * call that meets the p2m lock taken waits for the change to give it back, at its cost; a change that would take the lock
 * from readers waits for them.
 * @param chosen default: every step
 */
export function meet(
  system: ArmSystem,
  change: Change,
  form: ArmForm,
  schedule: readonly number[],
  chosen: ChosenSteps = () => true,
): Meeting {
  const bytes = new Uint8Array(BYTES);
  const call = system.hypercall(form, 0, bytes, false, CALLER);
  const { cost, ledger } = system.elements[CALLER];
  const started = ledger.clock[0];
  const taken: number[] = [];
  let progress = 0;
  let waitedFor = 0;
  const advance = () => {
    change[progress++].apply();
  };
  for (;;) {
    const { done, value } = call.next();
    if (done === true) {
      while (progress < change.length) advance();
      const cycles = (ledger.clock[0] - started) / TICKS_PER_CYCLE;
      return { result: value, bytes, cycles, schedule: taken, waitedFor };
    }
    if (chosen(value)) {
      const wanted = schedule[Math.min(taken.length, schedule.length - 1)] ?? 0;
      // A writer waits for readers.
      while (progress < wanted && !(change[progress].name === LOCK && system.p2m.readLocked)) advance();
      taken.push(progress);
    }
    if (value.kind !== "lock") continue;
    while (system.p2m.writeLocked) {
      cost.hardware(ArmPhase.P2mLock, Cause.LockWait, change[progress].cycles);
      advance();
      waitedFor++;
    }
  }
}

/**
 * Every way in which the chosen steps of a call and those of a change can come one after the other.
 * @param prime what the caller's TLBs know beforehand, run after each reset
 */
export function everyMeeting(
  system: ArmSystem,
  { change, reset }: PreparedChange,
  form: ArmForm,
  prime: () => void,
  chosen: ChosenSteps = () => true,
): Meeting[] {
  const found = new Map<string, Meeting>();
  // Depth first: each run shows how many steps its call had, and what else could have been chosen at the later ones.
  const explore = (prefix: readonly number[]): void => {
    reset();
    prime();
    const meeting = meet(system, change, form, prefix, chosen);
    const { schedule } = meeting;
    // The lock did not let it be: the same as another choice.
    if (prefix.some((progress, step) => step < schedule.length && schedule[step] !== progress)) return;
    found.set(schedule.join(), meeting);
    for (let step = prefix.length; step < schedule.length; step++)
      for (let progress = schedule[step] + 1; progress <= change.length; progress++)
        explore([...schedule.slice(0, step), progress]);
  };
  for (let progress = 0; progress <= change.length; progress++) explore([progress]);
  return [...found.values()];
}

/**
 * Puts the caller where a call has just ended well: its caches, EL2's TLB entries and, if `translated`, the guest's
 * translation of the buffer are warm.
 */
export function primeCaller(system: ArmSystem, form: ArmForm, translated: boolean): void {
  uninterrupted(system.hypercall(form, 0, new Uint8Array(BYTES), false, CALLER));
  if (translated) system.touchBuffer(0, BYTES, CALLER);
  else system.elements[CALLER].mmu.tlbi({ op: "vmalls12e1" });
}
