import type { CoreTiming } from "@hyperwalk/cpu";
import { Cause, type CycleLedger, type PhysicalMemory, ticks } from "@hyperwalk/mmu";
import { Errno } from "../errno.js";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { P2m } from "../p2m.js";
import { P2mType } from "../p2m-type.js";
import { Phase } from "../path-cost/phases.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import {
  COPY_FAILED,
  COPY_FROM_GUEST,
  COPY_PAGE,
  COPY_TO_GUEST,
  mmioScan,
} from "../path-cost/stages/guest-copy.js";
import type { GuestAccess } from "./guest-access.js";

const PAGE = 4096;
const BUFFER_BYTES = PAGE;
/** Guest frame of the local APIC, which the first MMIO handler claims. */
const LOCAL_APIC_GFN = 0xfee00;

export interface HvmCopyOptions {
  readonly p2m: P2m;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly timing: CoreTiming;
  /** `accept` calls of one `hvm_mmio_internal`. */
  readonly mmioHandlers: number;
}

/** Told of a copy when it is done; what was copied is at the start of the access's buffer. */
export type CopyListener = (
  access: HvmCopy,
  lo: number,
  hi: number,
  bytes: number,
  toGuest: boolean,
  result: number,
) => void;

/**
 * `__hvm_copy`: one round for every page that a buffer touches. What differs between the two kinds of address is only
 * how a page's guest frame is found.
 */
export abstract class HvmCopy implements GuestAccess {
  abstract readonly id: "linear" | "physical";
  readonly buffer: DataView;
  /** Told about every copy while set. */
  onCopy: CopyListener | undefined;
  protected readonly p2m: P2m;
  protected readonly cost: StagePathCost;
  /** Guest frame of the page that is being copied. */
  private gfn = 0;
  private readonly bytes: Uint8Array;
  private readonly words: Int32Array;
  private readonly counters: HypervisorCounters;
  private readonly memory: PhysicalMemory;
  private readonly ledger: CycleLedger;
  private readonly mmioHandlers: number;
  private readonly perLineTicks: number;
  private readonly phase: number;
  private readonly toStage: number;
  private readonly fromStage: number;
  private readonly pageStage: number;
  private readonly scanStage: number;

  constructor(options: HvmCopyOptions) {
    const { cost } = options;
    this.p2m = options.p2m;
    this.cost = cost;
    this.counters = options.counters;
    this.memory = options.memory;
    this.ledger = options.ledger;
    this.mmioHandlers = options.mmioHandlers;
    this.perLineTicks = ticks(options.timing.stringPerLine);
    this.bytes = new Uint8Array(BUFFER_BYTES);
    this.words = new Int32Array(this.bytes.buffer);
    this.buffer = new DataView(this.bytes.buffer);
    this.phase = cost.phase(Phase.Copy);
    this.toStage = cost.compile(COPY_TO_GUEST);
    this.fromStage = cost.compile(COPY_FROM_GUEST);
    this.pageStage = cost.compile(COPY_PAGE);
    this.scanStage = cost.compile(mmioScan(options.mmioHandlers));
  }

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    this.counters.copiesFromGuest++;
    return this.copy(lo, hi, bytes, false);
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    this.counters.copiesToGuest++;
    return this.copy(lo, hi, bytes, true);
  }

  /** Guest frame of an address, or -1 when it has none. */
  protected abstract guestFrame(lo: number, hi: number, write: boolean): number;

  /** @throws RangeError when the model's own buffer is too small: a mistake in an operation, not in the guest */
  private copy(lo: number, hi: number, bytes: number, toGuest: boolean): number {
    if (bytes > BUFFER_BYTES) throw new RangeError(`a copy of ${bytes} bytes: at most ${BUFFER_BYTES}`);
    const { cost } = this;
    cost.enter(this.phase);
    cost.run(toGuest ? this.toStage : this.fromStage);
    let result = 0;
    const startLo = lo;
    const startHi = hi;
    for (let done = 0; done < bytes; ) {
      const count = Math.min(PAGE - (lo & 4095), bytes - done);
      const mfn = this.page(lo, hi, toGuest);
      if (mfn < 0) {
        cost.run(cost.compile(COPY_FAILED));
        result = -Errno.EFAULT;
        break;
      }
      const dropped = toGuest && this.p2m.type === P2mType.RamRo;
      cost.run(this.pageStage);
      if (!dropped) this.move(mfn, lo & 4095, count, done, toGuest);
      if (toGuest && this.p2m.writeLog !== undefined) this.p2m.writeLog.mark(this.gfn, cost);
      this.p2m.putPage(mfn);
      done += count;
      const next = (lo + count) | 0;
      if (next >>> 0 < lo >>> 0) hi = (hi + 1) | 0;
      lo = next;
    }
    cost.leave();
    if (this.onCopy !== undefined) this.onCopy(this, startLo, startHi, bytes, toGuest, result);
    return result;
  }

  /** `hvm_translate_get_page`: the machine frame, referenced, or -1. */
  private page(lo: number, hi: number, write: boolean): number {
    const gfn = this.guestFrame(lo, hi, write);
    if (gfn < 0) return -1;
    this.cost.run(this.scanStage);
    if (gfn === LOCAL_APIC_GFN && this.mmioHandlers > 0) return -1;
    this.gfn = gfn;
    return write ? this.p2m.lookupForWriting(gfn) : this.p2m.lookup(gfn);
  }

  private move(mfn: number, offset: number, count: number, at: number, toGuest: boolean): void {
    const { cost, bytes, words, memory } = this;
    let lines = 0;
    for (let done = 0; done < count; lines++) {
      const part = Math.min(64 - ((offset + done) & 63), count - done);
      const from = cost.access(mfn, offset + done, part, toGuest);
      const to = at + done;
      if (((from | to | part) & 3) === 0) {
        const { i32 } = memory.arena;
        const first = from >> 2;
        const count32 = part >> 2;
        const own = to >> 2;
        if (toGuest) for (let i = 0; i < count32; i++) i32[first + i] = words[own + i];
        else for (let i = 0; i < count32; i++) words[own + i] = i32[first + i];
      } else {
        const { u8 } = memory.arena;
        if (toGuest) for (let i = 0; i < part; i++) u8[from + i] = bytes[to + i];
        else for (let i = 0; i < part; i++) bytes[to + i] = u8[from + i];
      }
      done += part;
    }
    this.counters.bytesCopied += count;
    this.ledger.charge(Cause.Microcode, this.perLineTicks * lines);
  }
}
