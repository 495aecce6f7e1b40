import { Cause, FRAME_BYTES, type TranslationContext, ticks } from "@hyperwalk/mmu";
import { State } from "../cpu-state.js";
import { hostAddressHi } from "../host-lines.js";
import { VirtualizationError, type VirtualizedProcessor } from "../virtualized-processor.js";

/** Bytes of an entry: MSR index, reserved word, value (SDM vol. 3, table 25-15). */
const ENTRY_BYTES = 16;

const MSR_SPEC_CTRL = 0x48;
const MSR_PRED_CMD = 0x49;
const MSR_FLUSH_CMD = 0x10b;
/** MSRs that a list may not load: FS and GS base, and the microcode and SMM families (SDM vol. 3, 27.4). */
const FORBIDDEN: readonly number[] = [0xc0000100 | 0, 0xc0000101 | 0, 0x79, 0x9b];

/** State words of the MSRs that the processor keeps among its registers: low word, high word or -1. */
const STATE_OF_MSR: ReadonlyMap<number, readonly [number, number]> = new Map([
  [0xc0000081 | 0, [State.StarLo, State.StarHi] as const],
  [0xc0000082 | 0, [State.LstarLo, State.LstarHi] as const],
  [0xc0000083 | 0, [State.CstarLo, State.CstarHi] as const],
  [0xc0000084 | 0, [State.FmaskLo, -1] as const],
  [0xc0000102 | 0, [State.KernelGsBaseLo, State.KernelGsBaseHi] as const],
  [0x174, [State.SysenterCs, -1] as const],
  [0x175, [State.SysenterEspLo, State.SysenterEspHi] as const],
  [0x176, [State.SysenterEipLo, State.SysenterEipHi] as const],
  [0x277, [State.PatLo, State.PatHi] as const],
]);

/** Told of MSRs that lists load and that are not among the processor's registers, such as SPEC_CTRL and PRED_CMD. */
export type MsrLoad = (msr: number, lo: number, hi: number) => void;
/** Gives the value of such an MSR for a store list as [low, high]. */
export type MsrStore = (msr: number) => readonly [number, number];

/**
 * The VM-entry load, VM-exit load and VM-exit store lists of one guest, in simulated memory. Each entry costs what the
 * WRMSR or RDMSR that it stands for costs.
 */
export class MsrLists {
  private readonly processor: VirtualizedProcessor;
  private readonly host: TranslationContext;
  private readonly onLoad: MsrLoad | undefined;
  private readonly onStore: MsrStore | undefined;

  constructor(
    processor: VirtualizedProcessor,
    host: TranslationContext,
    onLoad: MsrLoad | undefined,
    onStore: MsrStore | undefined,
  ) {
    this.processor = processor;
    this.host = host;
    this.onLoad = onLoad;
    this.onStore = onStore;
  }

  /**
   * Loads a list. @param address machine address, 16-byte aligned
   * @returns 0, or the number (from 1) of the entry that cannot be loaded
   */
  load(address: number, count: number): number {
    const { arena } = this.processor;
    for (let i = 0; i < count; i++) {
      const at = this.touch(address + ENTRY_BYTES * i, false);
      const msr = arena.i32[at];
      if (FORBIDDEN.includes(msr) || arena.i32[at + 1] !== 0) return i + 1;
      this.apply(msr, arena.i32[at + 2], arena.i32[at + 3]);
    }
    return 0;
  }

  /** Stores a list. */
  store(address: number, count: number): void {
    const { arena, ledger, profile, state } = this.processor;
    for (let i = 0; i < count; i++) {
      const at = this.touch(address + ENTRY_BYTES * i, true);
      ledger.charge(Cause.Microcode, ticks(profile.timing.rdmsr));
      const msr = arena.i32[at];
      const words = STATE_OF_MSR.get(msr);
      if (words !== undefined) {
        arena.i32[at + 2] = state.words[words[0]];
        arena.i32[at + 3] = words[1] < 0 ? 0 : state.words[words[1]];
      } else if (this.onStore !== undefined) {
        const value = this.onStore(msr);
        arena.i32[at + 2] = value[0];
        arena.i32[at + 3] = value[1];
      }
    }
  }

  private apply(msr: number, lo: number, hi: number): void {
    const { ledger, profile, state, mmu } = this.processor;
    const { timing } = profile;
    if (msr === MSR_SPEC_CTRL) ledger.charge(Cause.PredictorBarrier, ticks(timing.wrmsrSpecCtrl));
    else if (msr === MSR_PRED_CMD) ledger.charge(Cause.PredictorBarrier, ticks(timing.ibpb));
    else if (msr === MSR_FLUSH_CMD) {
      ledger.charge(Cause.L1dFlush, ticks(timing.l1dFlush));
      if ((lo & 1) !== 0) mmu.caches.l1d.removeAll();
    } else ledger.charge(Cause.Serialise, ticks(timing.wrmsr));
    const words = STATE_OF_MSR.get(msr);
    if (words === undefined) {
      this.onLoad?.(msr, lo, hi);
      return;
    }
    state.words[words[0]] = lo;
    if (words[1] >= 0) state.words[words[1]] = hi;
  }

  /** The processor reaches an entry. @returns its index in the arena's 32-bit view */
  private touch(address: number, write: boolean): number {
    const { mmu } = this.processor;
    const frame = Math.floor(address / FRAME_BYTES);
    const lo = (frame << 12) | (address % FRAME_BYTES);
    const hi = hostAddressHi(frame, this.host);
    const at = write ? mmu.write(lo, hi, ENTRY_BYTES) : mmu.read(lo, hi, ENTRY_BYTES);
    if (at < 0) throw new VirtualizationError("HOST_UNMAPPED", address, "the host does not map an MSR list");
    return at >>> 2;
  }
}
