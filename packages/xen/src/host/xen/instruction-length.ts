import { Segment, SegmentWord, State } from "@hyperwalk/cpu";
import type { GuestAccess } from "../../guest-access/guest-access.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import { DEBUG_INSTRUCTION_LENGTH } from "../../path-cost/stages/dispatch.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";

const MAX_INSTRUCTION = 15;
const BASE = State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo;

/**
 * `svm_get_insn_len` of a debug build: it does not trust the NRIP that the processor saved, but fetches the instruction
 * through the guest's page tables and decodes it. What it finds is the same; what it costs is not.
 */
export class InstructionLength {
  private readonly registers: GuestRegisters;
  private readonly access: GuestAccess;
  private readonly cost: PathCost;

  /** @param access by linear address */
  constructor(registers: GuestRegisters, access: GuestAccess, cost: PathCost) {
    this.registers = registers;
    this.access = access;
    this.cost = cost;
  }

  /** Fetches and decodes the instruction that exited. */
  decode(): void {
    const { registers, cost } = this;
    cost.run(cost.compile(DEBUG_INSTRUCTION_LENGTH));
    const long = registers.mode === GuestCodeMode.Long;
    const lo = long ? registers.ripLo : (registers.ripLo + registers.words[BASE]) | 0;
    this.access.copyFromGuest(lo, long ? registers.ripHi : 0, MAX_INSTRUCTION);
  }
}
