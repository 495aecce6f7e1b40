import type { CoreTiming } from "@hyperwalk/cpu";
import { Cause, type CycleLedger, type PhysicalMemory, ticks } from "@hyperwalk/mmu";
import { Errno } from "../../errno.js";
import type { EmulatorAccess } from "../../guest-access/emulator-access.js";
import {
  GuestWalker,
  type GuestWalkStages,
  type WalkedMemory,
  type WalkRegisters,
} from "../../guest-access/guest-walk.js";
import type { HypervisorCounters } from "../../hypervisor-counters.js";
import type { WriteLog } from "../../p2m.js";
import type { Stage } from "../../path-cost/stage.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  KVM_SET_ACCESSED,
  KVM_WALK_FIVE_LEVELS,
  KVM_WALK_UNPAGED,
  KVM_WALKS,
} from "../../path-cost/stages/kvm-user-space.js";
import type { Memslots } from "./memslots.js";

const PAGE = 4096;
const BUFFER_BYTES = PAGE;
const LINE = 64;

const KVM_STAGES: GuestWalkStages = {
  walks: KVM_WALKS,
  // One loop for all levels: a walk that ends early has run those up to there.
  ended: KVM_WALKS.slice(1),
  fiveLevels: KVM_WALK_FIVE_LEVELS,
  unpaged: KVM_WALK_UNPAGED,
  setBits: KVM_SET_ACCESSED,
};

/** Guest memory as KVM's walk of the guest's tables reaches it: slot, host address, user access. */
class WalkedSlots implements WalkedMemory {
  readonly writeLog: WriteLog;
  private readonly memslots: Memslots;

  constructor(memslots: Memslots) {
    this.memslots = memslots;
    this.writeLog = { mark: (gfn) => memslots.markDirty(gfn) };
  }

  lookup(gfn: number): number {
    return this.memslots.translate(gfn);
  }

  translate(gfn: number): number {
    return this.memslots.translate(gfn);
  }

  putPage(): void {
    // No reference is taken.
  }

  askPager(): void {
    // The monitor's memory is always there.
  }
}

export interface SlotAccessOptions {
  readonly memslots: Memslots;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly timing: CoreTiming;
  readonly registers: WalkRegisters;
  /** MAXPHYADDR that the guest's CPUID reports. */
  readonly physicalAddressBits: number;
  /** Ledger phase around everything. */
  readonly phase: string;
  /** Before the walk for each page, and after it; the walk itself is KVM's either way. */
  readonly beforeWalk: readonly Stage[];
  readonly copy: Stage;
  /** The kernel's emulator: writes ask for the right to write, which sets dirty flags; default the monitor, which does not. */
  readonly emulates?: boolean;
}

/**
 * Guest memory by linear address, page by page, as KVM reaches it (`kvm_read_guest_virt`), and its monitor, which has KVM
 * translate the address (KVM_TRANSLATE) and copies through its own mapping. A translation asks for a read: a
 * monitor's write neither minds write protection nor sets the guest's dirty flag. The kernel's own writes do.
 */
export class SlotAccess implements EmulatorAccess {
  readonly id = "linear";
  readonly buffer: DataView;
  private readonly bytes: Uint8Array = new Uint8Array(BUFFER_BYTES);
  private readonly options: SlotAccessOptions;
  private readonly walker: GuestWalker;
  private readonly phase: number;
  private readonly before: readonly number[];
  private readonly copyStage: number;
  private readonly perLineTicks: number;

  constructor(options: SlotAccessOptions) {
    const { memslots, cost, counters, memory, registers, physicalAddressBits } = options;
    this.options = options;
    this.buffer = new DataView(this.bytes.buffer);
    const slots = new WalkedSlots(memslots);
    this.walker = new GuestWalker(slots, cost, counters, memory, registers, physicalAddressBits, KVM_STAGES);
    this.phase = cost.phase(options.phase);
    this.before = options.beforeWalk.map((stage) => cost.compile(stage));
    this.copyStage = cost.compile(options.copy);
    this.perLineTicks = ticks(options.timing.stringPerLine);
  }

  get errorCode(): number {
    return this.walker.errorCode;
  }

  asUser(user: boolean): void {
    this.walker.user = user;
  }

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    this.options.counters.copiesFromGuest++;
    return this.run(lo, hi, bytes, false);
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    this.options.counters.copiesToGuest++;
    return this.run(lo, hi, bytes, true);
  }

  /** KVM_TRANSLATE: guest-physical address of a linear one, or -1. */
  translate(lo: number, hi: number): number {
    const { cost } = this.options;
    cost.enter(this.phase);
    for (const stage of this.before) cost.run(stage);
    const gfn = this.walker.walk(lo, hi, false);
    cost.leave();
    return gfn < 0 ? -1 : gfn * PAGE + (lo & (PAGE - 1));
  }

  /** @throws RangeError when the model's own buffer is too small: a mistake in an operation, not in the guest */
  private run(startLo: number, startHi: number, bytes: number, toGuest: boolean): number {
    if (bytes > BUFFER_BYTES) throw new RangeError(`a copy of ${bytes} bytes: at most ${BUFFER_BYTES}`);
    const { cost } = this.options;
    let [lo, hi] = [startLo, startHi];
    let error = 0;
    cost.enter(this.phase);
    for (let done = 0; done < bytes && error === 0; ) {
      const count = Math.min(PAGE - (lo & (PAGE - 1)), bytes - done);
      error = this.copyPiece(lo, hi, count, done, toGuest);
      done += count;
      const next = (lo + count) | 0;
      if (next >>> 0 < lo >>> 0) hi = (hi + 1) | 0;
      lo = next;
    }
    cost.leave();
    return error;
  }

  private copyPiece(lo: number, hi: number, count: number, at: number, toGuest: boolean): number {
    const { cost, memslots, counters, ledger, memory } = this.options;
    for (const stage of this.before) cost.run(stage);
    const gfn = this.walker.walk(lo, hi, toGuest && this.options.emulates === true);
    const frame = gfn < 0 ? -1 : memslots.translate(gfn, toGuest);
    if (frame < 0) return -Errno.EFAULT;
    cost.run(this.copyStage);
    const offset = lo & (PAGE - 1);
    let lines = 0;
    for (let done = 0; done < count; lines++) {
      const part = Math.min(LINE - ((offset + done) & (LINE - 1)), count - done);
      const from = cost.access(frame, offset + done, part, toGuest);
      const { u8 } = memory.arena;
      const own = this.bytes.subarray(at + done, at + done + part);
      if (toGuest) u8.set(own, from);
      else own.set(u8.subarray(from, from + part));
      done += part;
    }
    if (toGuest) memslots.markDirty(gfn);
    counters.bytesCopied += count;
    ledger.charge(Cause.Microcode, this.perLineTicks * lines);
    return 0;
  }
}
