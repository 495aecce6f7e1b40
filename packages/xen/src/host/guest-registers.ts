import { type CpuState, Segment, SegmentWord, State } from "@hyperwalk/cpu";

/** Values of `hvm_guest_x86_mode`: the mode that a guest's instruction ran in. */
export const GuestCodeMode = { Real: 0, Vm86: 1, Protected16: 2, Protected32: 4, Long: 8 } as const;

const CR0_PE = 1;
const RFLAGS_VM = 0x20000;
const EFER_LMA = 0x400;
const CS_LONG = 0x2000;
const CS_DEFAULT = 0x4000;
const ATTRIBUTES = State.Segments + 8 * Segment.Cs + SegmentWord.Attributes;

/**
 * The registers of the vCPU that exited, as Xen sees them between exit and entry. General registers and control state
 * are in the processor's state words, where the exit left them; RAX, RIP, RSP and RFLAGS go back to the control
 * structure through a vendor's implementation.
 */
export abstract class GuestRegisters {
  /** Control registers of a shadow-paged guest, which are not those that it runs with. */
  shadowControl: Int32Array | undefined;
  private readonly state: CpuState;

  constructor(state: CpuState) {
    this.state = state;
  }

  /** Words by `State`; fetch it anew after anything that may grow the arena. */
  get words(): Int32Array {
    return this.state.words;
  }

  /** CR0 and EFER as the guest believes them to be, at their places among {@link words}. */
  get control(): Int32Array {
    return this.shadowControl ?? this.words;
  }

  /** A {@link GuestCodeMode} number. */
  get mode(): number {
    const words = this.words;
    if ((words[State.Cr0] & CR0_PE) === 0) return GuestCodeMode.Real;
    if ((this.rflags & RFLAGS_VM) !== 0) return GuestCodeMode.Vm86;
    const attributes = words[ATTRIBUTES];
    if ((words[State.EferLo] & EFER_LMA) !== 0 && (attributes & CS_LONG) !== 0) return GuestCodeMode.Long;
    return (attributes & CS_DEFAULT) !== 0 ? GuestCodeMode.Protected32 : GuestCodeMode.Protected16;
  }

  /** Width of the code that the guest runs, as instructions are decoded: 16, 32 or 64. */
  get codeBits(): 16 | 32 | 64 {
    const { mode } = this;
    return mode === GuestCodeMode.Long ? 64 : mode === GuestCodeMode.Protected32 ? 32 : 16;
  }

  get cpl(): number {
    return this.words[State.Cpl];
  }

  /** Low word of a general register, 0-15 in encoding order. */
  lo(register: number): number {
    return this.words[2 * register];
  }

  hi(register: number): number {
    return this.words[2 * register + 1];
  }

  /** Writes a general register; `register` 0 is RAX. */
  set(register: number, lo: number, hi: number): void {
    const words = this.words;
    words[2 * register] = lo;
    words[2 * register + 1] = hi;
    if (register === 0) this.saveRax(lo, hi);
  }

  abstract readonly rflags: number;
  abstract readonly ripLo: number;
  abstract readonly ripHi: number;

  /** `__update_guest_eip`: RIP past the instruction, RF and the interrupt shadow cleared. */
  abstract skip(length: number): void;

  /** {@link skip} has left the address space, and VM entry refuses such a RIP: VMX does. */
  abstract readonly ripRefused: boolean;

  /** Makes RIP one that VM entry takes. */
  abstract correctRip(): void;

  /** Queues an exception for the next entry; `errorCode` -1 for vectors that have none. */
  abstract injectException(vector: number, errorCode: number): void;

  /** Queues the #DB of a single step, and notes it in DR6. */
  abstract injectDebugTrap(): void;

  /** Queues an external interrupt for the next entry. */
  abstract injectInterrupt(vector: number): void;

  /** Queues an NMI for the next entry. */
  abstract injectNmi(): void;

  /** The arithmetic flags of the state words become those of the guest. */
  abstract saveArithmeticFlags(): void;

  /** An event waits for its injection at the next entry. */
  abstract readonly eventQueued: boolean;

  /** The guest handles an NMI, as far as that is known. */
  abstract readonly nmiMasked: boolean;

  /** Nothing queued yet, no MOV SS shadow, and no NMI being handled as far as that is known. */
  abstract readonly canTakeNmi: boolean;

  /** RFLAGS.IF set, no interrupt shadow, and nothing queued yet. */
  abstract readonly canTakeInterrupt: boolean;

  /** RAX belongs to the control structure on SVM. */
  protected abstract saveRax(lo: number, hi: number): void;

  /** RIP as a hexadecimal number. */
  get rip(): string {
    return `0x${((BigInt(this.ripHi >>> 0) << 32n) | BigInt(this.ripLo >>> 0)).toString(16)}`;
  }
}
