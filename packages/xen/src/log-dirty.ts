import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import type { P2m } from "./p2m.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { MARK_PFN_DIRTY } from "./path-cost/stages/p2m-conditions.js";

const LEAF_BITS = 15; // guest frames of one page of bits
const NODE_BITS = 9; // tables of 512
const LEVELS = 4;
const ENTRY_BYTES = 8;

export interface LogDirtyOptions {
  readonly p2m: P2m;
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
}

/** Log-dirty mode as plain data; the bitmap itself is in memory. */
export interface LogDirtySnapshot {
  readonly enabled: boolean;
  readonly pml: boolean;
  /** Frame of the bitmap's top table, or -1. */
  readonly root: number;
}

/**
 * A domain's log-dirty mode (`arch/x86/mm/paging.c`): which guest frames were written to since they were last asked for, by
 * the guest through faults or the processor's page-modification log, and by Xen's own copies. The bitmap is a tree of four
 * levels in simulated memory, whose pages come into being with the first bit in them.
 */
export class LogDirty {
  /** Whether the processor keeps the log where it can (`ept=pml`); for the next {@link enable}. */
  usesPml = false;
  /** Switches the processors' logs, and empties them into {@link mark}. */
  onSwitch: ((pml: boolean) => void) | undefined;
  onFlush: (() => void) | undefined;
  private on = false;
  private pml = false;
  private root = -1;
  private readonly options: LogDirtyOptions;

  constructor(options: LogDirtyOptions) {
    this.options = options;
  }

  get enabled(): boolean {
    return this.on;
  }

  /** XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: from now on writes are noted, with nothing noted yet. */
  enable(): void {
    if (this.on) return;
    this.on = true;
    this.pml = this.usesPml;
    this.watch();
    this.onSwitch?.(this.pml);
  }

  /** XEN_DOMCTL_SHADOW_OP_OFF: what is noted is forgotten. */
  disable(): void {
    if (!this.on) return;
    this.onSwitch?.(false);
    this.on = false;
    this.pml = false;
    this.forget();
    const { p2m } = this.options;
    p2m.writeLog = undefined;
    p2m.watchWrites(false, false);
  }

  /** XEN_DOMCTL_SHADOW_OP_PEEK: guest frames written to, in ascending order. */
  peek(): number[] {
    if (this.pml) this.onFlush?.();
    const found: number[] = [];
    if (this.root >= 0) this.collect(this.root, LEVELS, 0, found);
    return found;
  }

  /** XEN_DOMCTL_SHADOW_OP_CLEAN: the same, and noting starts over. */
  clean(): number[] {
    const found = this.peek();
    if (this.on) {
      this.forget();
      this.watch();
    }
    return found;
  }

  /** Notes a write. @param cost who pays; undefined: nobody does */
  mark(gfn: number, cost: PathCost | undefined): void {
    const { memory, allocateFrame } = this.options;
    cost?.run(cost.compile(MARK_PFN_DIRTY));
    if (this.root < 0) this.root = allocateFrame();
    let table = this.root;
    for (let level = LEVELS; level > 1; level--) {
      const index = Math.floor(gfn / 2 ** (LEAF_BITS + NODE_BITS * (level - 2))) % 2 ** NODE_BITS;
      const offset = index * ENTRY_BYTES;
      cost?.access(table, offset, ENTRY_BYTES, false);
      let next = memory.readU32(table * FRAME_BYTES + offset);
      if (next === 0) {
        next = allocateFrame();
        memory.writeU32(table * FRAME_BYTES + offset, next);
      }
      table = next;
    }
    const bit = gfn % 2 ** LEAF_BITS;
    cost?.access(table, (bit >>> 6) * ENTRY_BYTES, ENTRY_BYTES, true);
    const at = table * FRAME_BYTES + (bit >>> 3);
    memory.writeU8(at, memory.readU8(at) | (1 << (bit & 7)));
  }

  snapshot(): LogDirtySnapshot {
    return { enabled: this.on, pml: this.pml, root: this.root };
  }

  /** Puts it back, after memory and the p2m. @throws RangeError for a bitmap in no memory */
  restore({ enabled, pml, root }: LogDirtySnapshot): void {
    if (root !== -1 && !this.options.memory.isRam(root)) throw new RangeError("a dirty bitmap in no memory");
    this.on = enabled;
    this.pml = pml;
    this.root = root;
    this.options.p2m.writeLog = enabled ? this : undefined;
  }

  private watch(): void {
    const { p2m } = this.options;
    p2m.writeLog = this;
    p2m.watchWrites(true, this.pml);
  }

  /** The pages stay where they are: nothing else asks for as many. */
  private forget(): void {
    if (this.root >= 0) this.clear(this.root, LEVELS);
  }

  private clear(table: number, level: number): void {
    const { memory } = this.options;
    if (level === 1) {
      memory.writeBytes(table * FRAME_BYTES, new Uint8Array(FRAME_BYTES));
      return;
    }
    for (let at = 0; at < FRAME_BYTES; at += ENTRY_BYTES) {
      const next = memory.readU32(table * FRAME_BYTES + at);
      if (next !== 0) this.clear(next, level - 1);
    }
  }

  private collect(table: number, level: number, first: number, found: number[]): void {
    const { memory } = this.options;
    if (level === 1) {
      memory.readBytes(table * FRAME_BYTES, FRAME_BYTES).forEach((byte, at) => {
        for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) found.push(first + 8 * at + bit);
      });
      return;
    }
    const span = 2 ** (LEAF_BITS + NODE_BITS * (level - 2));
    for (let at = 0; at < FRAME_BYTES / ENTRY_BYTES; at++) {
      const next = memory.readU32(table * FRAME_BYTES + at * ENTRY_BYTES);
      if (next !== 0) this.collect(next, level - 1, first + at * span, found);
    }
  }
}
