import {
  DecodeStatus,
  Instruction,
  type MmioDevice,
  MmioInstruction,
  type Processor,
  Segment,
  SegmentWord,
  State,
} from "@hyperwalk/cpu";
import type { TranslationContext } from "@hyperwalk/mmu";
import type { GuestAccess } from "../../guest-access/guest-access.js";
import type { GuestWalker } from "../../guest-access/guest-walk.js";
import type { Stage } from "../../path-cost/stage.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { EMULATE_MMIO, FAST_MMIO } from "../../path-cost/stages/doorbell.js";
import { APIC_PAGE_ACCESS } from "../../path-cost/stages/interrupts.js";
import type { Vlapic } from "../../vlapic.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";

const LONGEST_INSTRUCTION = 15;
/** Of the access that the emulator tries; a page's end does not matter to what it finds. */
const MMIO_BYTES = 4;
const CS_BASE = State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo;
/** Nothing answers, as where an I/O APIC or HPET would be: reads see all ones, writes go nowhere (`null_handler`). */
const NOTHING: MmioDevice = { load: () => -1, store: () => {} };

export interface MmioExitsOptions {
  readonly processor: Processor;
  readonly registers: GuestRegisters;
  readonly cost: StagePathCost;
  readonly vlapic: Vlapic;
  /** The guest's address space, as the latest exit left it. */
  readonly context: TranslationContext;
  /** From the decision to the changed register; default Xen's. */
  readonly stage?: Stage;
  /** Copies by linear address, and the walk that they do; absent where nothing is emulated but the local APIC. */
  readonly linear?: GuestAccess;
  readonly walker?: GuestWalker;
}

/** Data accesses where the guest has no memory (`handle_mmio`): its local APIC's page, and holes that nobody claims. */
export class MmioExits {
  /** Bytes of the instruction that the latest {@link carryOut} did. */
  length = 0;
  /** Whether that one's operand was the local APIC's. */
  wasApic = false;
  private readonly options: MmioExitsOptions;
  private readonly emulated: MmioInstruction;
  private readonly skipped = new Instruction();
  private readonly bytes: Uint8Array = new Uint8Array(LONGEST_INSTRUCTION);

  constructor(options: MmioExitsOptions) {
    this.options = options;
    this.emulated = new MmioInstruction(options.processor.profile.vendor === "amd");
  }

  /**
   * Carries the instruction at RIP out, which has its operand there.
   * @param memory what is there; default the APIC or nothing
   * @returns false when it is not one that can be
   */
  carryOut(gfn: number, offset: number, memory?: MmioDevice): boolean {
    const { registers, cost, vlapic, stage = APIC_PAGE_ACCESS } = this.options;
    cost.run(cost.compile(stage));
    const { apic } = vlapic;
    vlapic.followTaskPriority(registers.words[State.Cr8]);
    this.wasApic = memory === undefined && gfn === apic.pageFrame;
    return this.carryOutOn(memory ?? (this.wasApic ? apic : NOTHING), offset);
  }

  /**
   * The same for a device's page of registers, with the walks that the emulator does. VMX has the instruction fetched by
   * linear address; SVM has its bytes in the VMCB. Both try the operand as memory first (`linear_write`, which walks and
   * finds no page); SVM, whose fault does not tell the linear address, before that to map it (`hvmemul_map_linear_addr`)
   * and afterwards to find its guest frame (`hvmemul_linear_to_phys`).
   * @param lo linear address of the operand
   */
  emulate(device: MmioDevice, offset: number, lo: number, hi: number, write: boolean): boolean {
    const { cost, registers, linear, walker, processor } = this.options;
    const amd = processor.profile.vendor === "amd";
    cost.run(cost.compile(EMULATE_MMIO));
    if (!amd) {
      const base = registers.mode === GuestCodeMode.Long ? 0 : registers.words[CS_BASE];
      linear?.copyFromGuest((registers.ripLo + base) | 0, registers.ripHi, LONGEST_INSTRUCTION);
    }
    for (let walks = amd ? 2 : 1; walks > 0; walks--)
      if (write) linear?.copyToGuest(lo, hi, MMIO_BYTES);
      else linear?.copyFromGuest(lo, hi, MMIO_BYTES);
    if (amd) walker?.walk(lo, hi, write);
    return this.carryOutOn(device, offset);
  }

  /**
   * Matches a write by its address alone: neither the instruction nor what is written is looked at. Its length is what VMX
   * tells, although the SDM leaves it undefined for this exit.
   */
  match(device: MmioDevice, offset: number): boolean {
    const { cost, registers } = this.options;
    cost.run(cost.compile(FAST_MMIO));
    const { code } = this;
    if (this.skipped.decode(code, 0, code.length, registers.codeBits) !== DecodeStatus.Ok) return false;
    this.length = this.skipped.length;
    device.store(offset, 0, 0);
    return true;
  }

  /** The same, with its operand in anything. */
  carryOutOn(device: MmioDevice, offset: number): boolean {
    const { registers } = this.options;
    const { words, codeBits: bits } = registers;
    const count = this.fetch(words, bits);
    if (!this.emulated.execute(this.bytes, count, bits, words, device, offset)) return false;
    this.length = this.emulated.length;
    registers.set(0, words[State.Gpr], words[State.Gpr + 1]);
    registers.saveArithmeticFlags();
    return true;
  }

  /** The instruction at RIP, as far as it is mapped: its bytes are valid until the next call. */
  get code(): Uint8Array {
    const { registers } = this.options;
    const count = this.fetch(registers.words, registers.codeBits);
    return this.bytes.subarray(0, count);
  }

  /** The instruction's bytes, as far as they are mapped. What the fetch costs is part of the stage. */
  private fetch(words: Int32Array, bits: number): number {
    const { registers, processor, context } = this.options;
    const { mmu, memory, arena } = processor;
    const host = mmu.context;
    mmu.activate(context);
    const base = bits === 64 ? 0 : words[CS_BASE];
    let count = 0;
    for (; count < LONGEST_INSTRUCTION; count++) {
      const lo = (registers.ripLo + base + count) | 0;
      const hi = bits === 64 ? registers.ripHi + (lo >>> 0 < count ? 1 : 0) : 0;
      const frame = mmu.probe(lo, hi);
      const at = frame < 0 ? -1 : memory.frameOffset(frame);
      if (at < 0) break;
      this.bytes[count] = arena.u8[at + (lo & 4095)];
    }
    mmu.activate(host);
    return count;
  }
}
