import type { ArmTiming, ProfileEstimate } from "@hyperwalk/cpu";
import { type ArmMmu, Cause, type CycleLedger, ticks } from "@hyperwalk/mmu";
import { directmap, ELEMENT_STRIDE, OBJECT_FRAME, XEN_IMAGE_FRAMES, XEN_VIRT_START } from "./arm-layout.js";
import type { ArmHostObject, ArmStage } from "./arm-stage.js";

/** Instructions for each branch that a cold predictor gets wrong once, as on x86. */
const INSTRUCTIONS_PER_COLD_BRANCH = 12;
const INSTRUCTION_BYTES = 4;
const LINE = 64;

/** Which end of their ranges the instruction counts of a form's stages are taken from. */
export type Bound = "low" | "value" | "high";

/** Bounds by form; stages of both forms stay at their value. */
export interface FormBounds {
  readonly va: Bound;
  readonly pa: Bound;
}

/** A touched line or an instruction that Xen's own tables do not map: a mistake in the model itself. */
export class ArmHostAccessError extends Error {
  readonly code = "ARM_HOST_ACCESS";
  readonly address: bigint;
  constructor(address: bigint) {
    super(`EL2 address 0x${address.toString(16)} is not mapped`);
    this.name = "ArmHostAccessError";
    this.address = address;
  }
}

/**
 * Prices the modelled hypervisor on one Arm processing element: instructions × `issue`; exclusives, barriers, system
 * registers and AT at their own prices; on the first run after {@link forget}, cold branches; touched lines and text
 * through the caches, by EL2's own translations.
 */
export class ArmPathCost {
  /** Instructions of modelled hypervisor code retired so far. */
  instructions = 0;
  /** Stage 2 descriptors that {@link readTable} has read. */
  tableReads = 0;
  readonly mmu: ArmMmu;
  private readonly ledger: CycleLedger;
  private readonly timing: ArmTiming;
  private readonly element: number;
  private readonly bounds: FormBounds;
  private readonly text = new Map<ArmStage, bigint>();
  private readonly warm = new Set<ArmStage>();
  private readonly ran = new Set<ArmStage>();
  private nextText = 0;

  /** @param element number of the processing element, which has a stack and per-CPU data of its own */
  constructor(mmu: ArmMmu, timing: ArmTiming, element: number, bounds: FormBounds) {
    this.mmu = mmu;
    this.ledger = mmu.ledger;
    this.timing = timing;
    this.element = element;
    this.bounds = bounds;
  }

  /** The predictor knows no branch of Xen's any more. */
  forget(): void {
    this.warm.clear();
  }

  enter(phase: string): void {
    this.ledger.enter(this.ledger.registerPhase(phase));
  }

  leave(): void {
    this.ledger.leave();
  }

  /** Executes a stage once. */
  run(stage: ArmStage): void {
    const { ledger, timing } = this;
    this.enter(stage.phase);
    const count = this.countOf(stage);
    const own: readonly (readonly [number | undefined, number, number])[] = [
      [stage.exclusives, timing.exclusive, Cause.Atomic],
      [stage.dmb, timing.dmb, Cause.Serialise],
      [stage.dsb, timing.dsb, Cause.Serialise],
      [stage.isb, timing.isb, Cause.Serialise],
      [stage.sysregReads, timing.sysregRead, Cause.Serialise],
      [stage.sysregWrites, timing.sysregWrite, Cause.Serialise],
      [stage.at, timing.at, Cause.Serialise],
    ];
    let plain = count;
    for (const [times = 0, price, cause] of own) {
      if (times === 0) continue;
      // An exclusive is two instructions, everything else one.
      plain -= cause === Cause.Atomic ? 2 * times : times;
      ledger.charge(cause, ticks(times * price));
    }
    ledger.charge(Cause.Issue, ticks(Math.max(0, plain) * timing.issue));
    if (!this.warm.has(stage)) {
      this.warm.add(stage);
      const wrong = Math.round(stage.instructions / INSTRUCTIONS_PER_COLD_BRANCH);
      ledger.charge(Cause.Branch, ticks(wrong * timing.branchMispredict));
    }
    this.instructions += count;
    this.ran.add(stage);
    this.fetch(stage);
    for (const { object, offsets, write } of stage.touches ?? [])
      for (const offset of offsets) this.touch(this.home(object, offset), write === true);
    this.leave();
  }

  /** Time at EL1 or in the processor's own exception machinery. */
  hardware(phase: string, cause: number, cycles: number): void {
    this.enter(phase);
    this.ledger.charge(cause, ticks(cycles));
    this.leave();
  }

  /**
   * Reads or writes an EL2 address.
   * @param dependent the next step needs what is read: its latency is charged in full
   * @returns arena offset
   */
  touch(address: bigint, write: boolean, dependent = false): number {
    const at = write ? this.mmu.write("el2", address, dependent) : this.mmu.read("el2", address, dependent);
    if (at < 0) throw new ArmHostAccessError(address);
    return at;
  }

  /** Reads one descriptor of a table in a software walk: the next read waits for it. */
  readTable(address: bigint): number {
    this.tableReads++;
    return this.touch(address, false, true);
  }

  /** Estimates of the stages that ran. */
  estimates(): ProfileEstimate[] {
    return [...this.ran]
      .filter(({ basis }) => basis === "estimate")
      .map(({ name, instructions, range, source }) => ({
        key: `armStages.${name}.instructions`,
        value: instructions,
        unit: "instructions",
        range,
        source,
      }));
  }

  private countOf({ form, instructions, range }: ArmStage): number {
    if (form === "both" || this.bounds[form] === "value") return instructions;
    return range[this.bounds[form] === "low" ? 0 : 1];
  }

  private home(object: ArmHostObject, offset: number): bigint {
    const shared = object === "domain" || object === "data";
    const frame = OBJECT_FRAME[object] + (shared ? 0 : this.element * ELEMENT_STRIDE);
    if (object === "stack") return directmap(frame, 4096 - LINE - offset);
    return directmap(frame, offset);
  }

  /** Fetches the lines of a stage's text. */
  private fetch(stage: ArmStage): void {
    let start = this.text.get(stage);
    const bytes = stage.instructions * INSTRUCTION_BYTES;
    if (start === undefined) {
      if (this.nextText + bytes > XEN_IMAGE_FRAMES * 4096) throw new RangeError("Xen's image is full");
      start = XEN_VIRT_START + BigInt(this.nextText);
      this.text.set(stage, start);
      this.nextText += Math.ceil(bytes / LINE) * LINE;
    }
    for (let at = 0; at < bytes; at += LINE) {
      const address = start + BigInt(at);
      if (this.mmu.fetch("el2", address) < 0) throw new ArmHostAccessError(address);
    }
  }
}
