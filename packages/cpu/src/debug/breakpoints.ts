import type { AccessWatch } from "@hyperwalk/mmu";
import { State } from "../cpu-state.js";

/** DR6 bits that a #DB reports (SDM vol. 3, 18.2.3); B0 to B3 are bits 3:0. */
export const Dr6 = {
  /** What software cannot clear. */
  Fixed: -0xf010,
  Breakpoints: 0xf,
  /** BD: an access to a debug register while DR7.GD was set. */
  GeneralDetect: 0x2000,
  /** BS: single step. */
  SingleStep: 0x4000,
  /** BT: a task switch to a TSS with its T bit set. */
  TaskSwitch: 0x8000,
  /** What MOV to DR6 can change. */
  Writable: 0xe00f,
} as const;

/** DR7 bits (SDM vol. 3, 18.2.4). */
export const Dr7 = {
  /** L0, G0 to L3, G3. */
  Enabled: 0xff,
  GeneralDetect: 0x2000,
  /** Reads as one. */
  Fixed: 0x400,
  /** Bits 12, 14 and 15, and 11, which belongs to transactional memory. */
  Reserved: 0xd800,
} as const;

const CR4_DE = 8;
const EXECUTE = 0;
const WRITE = 1;
const PORT = 2;
/** LEN of DR7 as bytes less one; 10b is 8 bytes. */
const LAST_BYTE: readonly number[] = [0, 1, 7, 3];

/**
 * The breakpoints of DR0 to DR3, as DR7 enables them. While one is armed the engine runs blocks of one instruction and
 * collects in {@link hits} what its data and port accesses matched; without one, nobody asks.
 */
export class Breakpoints implements AccessWatch {
  /** DR7 enables any of the four. */
  armed = false;
  /** Data and port breakpoints matched since the instruction began, as DR6 reports them. */
  hits = 0;
  private execute = 0;
  private write = 0;
  private readWrite = 0;
  private port = 0;
  private readonly lo: Int32Array = new Int32Array(4);
  private readonly hi: Int32Array = new Int32Array(4);
  private readonly last: Int32Array = new Int32Array(4);

  /** Data accesses have to be looked at. */
  get watchesData(): boolean {
    return (this.write | this.readWrite) !== 0;
  }

  /** Takes the debug registers over: after MOV DR, a change of CR4.DE, and whenever others may have loaded DR7. */
  sync(words: Int32Array): void {
    const dr7 = words[State.Dr7];
    this.armed = (dr7 & Dr7.Enabled) !== 0;
    this.execute = this.write = this.readWrite = this.port = 0;
    if (!this.armed) return;
    for (let i = 0; i < 4; i++) {
      if (((dr7 >>> (2 * i)) & 3) === 0) continue;
      const condition = (dr7 >>> (16 + 4 * i)) & 3;
      const last = LAST_BYTE[(dr7 >>> (18 + 4 * i)) & 3];
      const bit = 1 << i;
      // The low bits of the address are ignored: every range is aligned.
      this.lo[i] = condition === EXECUTE ? words[State.Dr0 + 2 * i] : words[State.Dr0 + 2 * i] & ~last;
      this.hi[i] = words[State.Dr0 + 2 * i + 1];
      this.last[i] = last;
      if (condition === EXECUTE) this.execute |= bit;
      else if (condition === WRITE) this.write |= bit;
      else if (condition !== PORT) this.readWrite |= bit;
      else if ((words[State.Cr4] & CR4_DE) !== 0) this.port |= bit;
    }
  }

  /** Breakpoints on the instruction at this linear address, as bits of DR6. */
  codeAt(lo: number, hi: number): number {
    let found = 0;
    for (let i = 0; i < 4; i++)
      if (((this.execute >>> i) & 1) !== 0 && this.lo[i] === lo && this.hi[i] === hi) found |= 1 << i;
    return found;
  }

  note(lo: number, hi: number, bytes: number, write: boolean): void {
    const asked = write ? this.write | this.readWrite : this.readWrite;
    for (let i = 0; i < 4; i++)
      if (((asked >>> i) & 1) !== 0 && this.hi[i] === hi && this.overlaps(i, lo, bytes)) this.hits |= 1 << i;
  }

  /** IN, OUT, INS and OUTS. */
  notePort(port: number, bytes: number): void {
    for (let i = 0; i < 4; i++)
      if (((this.port >>> i) & 1) !== 0 && this.hi[i] === 0 && this.overlaps(i, port, bytes))
        this.hits |= 1 << i;
  }

  private overlaps(i: number, first: number, bytes: number): boolean {
    const from = this.lo[i] >>> 0;
    const at = first >>> 0;
    return at <= from + this.last[i] && at + bytes > from;
  }
}
