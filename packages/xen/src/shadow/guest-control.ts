import { State } from "@hyperwalk/cpu";

const CR0_PE = 1;
const CR0_ET = 0x10;
const CR0_NW = 1 << 29;
const CR0_CD = 1 << 30;
const CR0_PG = 1 << 31;
/** Bits of CR0 that exist; others are ignored. */
const CR0_DEFINED = 0xe005003f | 0;
const CR4_PAE = 0x20;
/** Changes of these give the guest other translations. */
const CR0_TRANSLATION = CR0_PG | (1 << 16);
const CR4_TRANSLATION = 0x10 | CR4_PAE | 0x80 | (3 << 20);
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;
const CR4_SMEP = 1 << 20;

/**
 * The control registers that a shadow-paged guest believes to have (`guest_cr[]`, `guest_efer`): the processor runs with
 * others. In one array at the places that they have in the processor's state, so that whoever walks the guest's tables
 * can take either.
 */
export class GuestControl {
  /** By `State`: Cr0, Cr3Lo, Cr3Hi, Cr4, EferLo; nothing else is in it. */
  readonly words: Int32Array = new Int32Array(256);
  private readonly validCr4: number;
  private readonly addressBits: number;

  /** @param validCr4 bits that the guest's CPUID allows @param addressBits MAXPHYADDR that it reports */
  constructor(validCr4: number, addressBits: number) {
    this.validCr4 = validCr4;
    this.addressBits = addressBits;
    this.words[State.Cr0] = CR0_PE | CR0_ET;
  }

  get paging(): boolean {
    return (this.words[State.Cr0] & CR0_PG) !== 0;
  }

  get long(): boolean {
    return (this.words[State.EferLo] & EFER_LMA) !== 0;
  }

  /** PAE paging outside long mode. */
  get pae(): boolean {
    return this.paging && !this.long && (this.words[State.Cr4] & CR4_PAE) !== 0;
  }

  /** Its page faults tell fetches from reads: with SMEP, or no-execute pages (`guest_walk_tables`). */
  get tellsFetches(): boolean {
    const { words } = this;
    const noExecute = (words[State.Cr4] & CR4_PAE) !== 0 && (words[State.EferLo] & EFER_NXE) !== 0;
    return noExecute || (words[State.Cr4] & CR4_SMEP) !== 0;
  }

  /** Guest frame of the root table. */
  get root(): number {
    const lo = this.words[State.Cr3Lo] >>> 12;
    return this.long ? lo + (this.words[State.Cr3Hi] & 0xfffff) * 0x100000 : lo;
  }

  /**
   * `hvm_set_cr0`.
   * @param long64 the guest executes 64-bit code
   * @returns -1 for #GP(0); 1 when translations change, else 0
   */
  setCr0(value: number, hi: number, long64: boolean): number {
    const { words } = this;
    const old = words[State.Cr0];
    const next = (value & CR0_DEFINED) | CR0_ET;
    if (hi !== 0 || (next & (CR0_PE | CR0_PG)) === CR0_PG) return -1;
    if ((next & CR0_NW) !== 0 && (next & CR0_CD) === 0) return -1;
    if (((next ^ old) & CR0_PG) !== 0) {
      const lme = (words[State.EferLo] & EFER_LME) !== 0;
      if (long64) return -1;
      if ((next & CR0_PG) !== 0 && lme) {
        if ((words[State.Cr4] & CR4_PAE) === 0) return -1;
        words[State.EferLo] |= EFER_LMA;
      } else words[State.EferLo] &= ~EFER_LMA;
    }
    words[State.Cr0] = next;
    return ((next ^ old) & CR0_TRANSLATION) !== 0 ? 1 : 0;
  }

  /** `hvm_set_cr4`. @returns as {@link setCr0} */
  setCr4(value: number, hi: number): number {
    const { words } = this;
    const old = words[State.Cr4];
    if (hi !== 0 || (value & ~this.validCr4) !== 0) return -1;
    if (this.long && (value & CR4_PAE) === 0) return -1;
    words[State.Cr4] = value;
    return ((value ^ old) & CR4_TRANSLATION) !== 0 ? 1 : 0;
  }

  /** `hvm_set_cr3`. @returns false for #GP(0) */
  setCr3(lo: number, hi: number): boolean {
    if (this.long && hi >>> 0 >= 2 ** (this.addressBits - 32)) return false;
    this.words[State.Cr3Lo] = lo;
    this.words[State.Cr3Hi] = this.long ? hi : 0;
    return true;
  }

  /** Plain data: CR0, CR3, CR4, EFER. */
  snapshot(): readonly number[] {
    return FIELDS.map((field) => this.words[field]);
  }

  restore(values: readonly number[]): void {
    FIELDS.forEach((field, i) => {
      this.words[field] = values[i];
    });
  }
}

const FIELDS = [State.Cr0, State.Cr3Lo, State.Cr3Hi, State.Cr4, State.EferLo] as const;
