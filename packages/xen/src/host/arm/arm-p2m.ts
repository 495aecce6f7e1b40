import {
  ArmStage2,
  ArmStage2Tables,
  frameOf,
  levelSpan,
  type PageSizeName,
  type PhysicalMemory,
} from "@hyperwalk/mmu";
import { DeadlockError } from "../deadlock-error.js";
import { directmap, OBJECT_FRAME, P2M_FIELDS_OFFSET, P2M_LOCK_OFFSET, P2M_TABLES } from "./arm-layout.js";
import type { ArmPathCost } from "./arm-path-cost.js";
import { ArmPhase } from "./arm-stage.js";
import { GET_ENTRY, NEXT_LEVEL, READ_LOCK, READ_UNLOCK } from "./arm-stages.js";
import type { CopyPath } from "./copy-step.js";

/** `p2m_type_t` (asm/p2m.h), in bits 58:55 of every descriptor. */
export const ArmP2mType = { Invalid: 0, RamRw: 1, RamRo: 2 } as const;
/** Shift of the type in a descriptor's high word. */
const TYPE_SHIFT = 23;
const TYPE_MASK = 15;
const TABLE = 2;

const RAM_RW: number =
  (ArmP2mType.RamRw << TYPE_SHIFT) |
  ArmStage2.Normal |
  ArmStage2.InnerShareable |
  ArmStage2.AccessFlag |
  ArmStage2.Read |
  ArmStage2.Write;
const RAM_RO: number =
  (RAM_RW & ~ArmStage2.Write & ~(TYPE_MASK << TYPE_SHIFT)) | (ArmP2mType.RamRo << TYPE_SHIFT);

/** What `p2m_get_entry` says of a frame; `frame` is -1 (INVALID_MFN) where nothing is mapped. */
export interface ArmP2mEntry {
  readonly frame: number;
  readonly type: number;
}

/** Writer's bits of `rwlock_t.cnts`, and a reader's share. */
const WRITE_LOCKED = 0xc000;
const READER = 0x10000;

/**
 * A domain's p2m on Arm: the stage 2 tables that the hardware walks, with Xen's type in their software bits, and the
 * lock before them. Software tells what is there by the type, not by the valid bit, which Xen clears to be told of
 * accesses (set/way emulation).
 */
export class ArmP2m {
  readonly tables: ArmStage2Tables;
  readonly ipaBits: number;
  private readonly memory: PhysicalMemory;
  private maxMapped = 0;

  constructor(memory: PhysicalMemory, ipaBits: number) {
    let next = P2M_TABLES + 16;
    this.memory = memory;
    this.ipaBits = ipaBits;
    this.tables = new ArmStage2Tables(
      { memory, allocate: () => next++, rootFrame: P2M_TABLES },
      ipaBits,
      undefined,
      RAM_RW | 3,
    );
  }

  /** Maps RAM, outside simulated time. */
  map(gfn: number, mfn: number, count: number, size: PageSizeName, writable = true): void {
    this.tables.mapRange(gfn, mfn, count, size, writable ? RAM_RW : RAM_RO);
    const span = { "4k": 1, "2m": 512, "1g": 0x40000 }[size];
    this.maxMapped = Math.max(this.maxMapped, gfn + count * span - 1);
  }

  /** `p2m_invalidate_root`: clears the valid bit of every root entry; types stay. The caller invalidates TLBs. */
  invalidateRoot(): void {
    for (let table = 0; table < this.tables.rootTables; table++)
      for (let offset = 0; offset < 4096; offset += 8) {
        const at = (this.tables.rootFrame + table) * 4096 + offset;
        const lo = this.memory.readU32(at);
        if ((lo & 1) !== 0) this.memory.writeU32(at, (lo & ~1) >>> 0);
      }
  }

  /** Whether a writer holds the lock. */
  get writeLocked(): boolean {
    return (this.count & WRITE_LOCKED) !== 0;
  }

  /** Whether readers hold it. */
  get readLocked(): boolean {
    return this.count >= READER;
  }

  /** `p2m_write_lock`. @throws DeadlockError while anybody holds it: whoever schedules must wait */
  writeLock(): void {
    if (this.count !== 0) throw new DeadlockError("p2m->lock");
    this.count = WRITE_LOCKED;
  }

  writeUnlock(): void {
    this.count = 0;
  }

  /** `p2m_read_lock`. The step is named first; whoever schedules lets it go on only while {@link writeLocked} is false. */
  *readLock(cost: ArmPathCost): CopyPath<void> {
    yield { kind: "lock" };
    if (this.writeLocked) throw new DeadlockError("p2m->lock");
    cost.run(READ_LOCK);
    this.touchLock(cost);
    this.count += READER;
  }

  *readUnlock(cost: ArmPathCost): CopyPath<void> {
    yield { kind: "unlock" };
    cost.run(READ_UNLOCK);
    this.touchLock(cost);
    this.count -= READER;
  }

  /** `p2m_get_entry` under the read lock: every level read from the tables themselves, each read waiting for the last. */
  *getEntry(cost: ArmPathCost, gfn: number): CopyPath<ArmP2mEntry> {
    cost.run(GET_ENTRY);
    cost.enter(ArmPhase.P2mLookup);
    cost.touch(directmap(OBJECT_FRAME.domain, P2M_FIELDS_OFFSET), false);
    cost.leave();
    if (gfn > this.maxMapped) return NOTHING;
    let table = this.tables.rootFrame;
    for (let level = this.tables.startLevel; ; level++) {
      const index = Math.floor(gfn / levelSpan(level));
      const inTable = level === this.tables.startLevel ? index : index % 512;
      yield { kind: "stage2", level };
      if (level < 3) cost.run(NEXT_LEVEL);
      cost.enter(ArmPhase.P2mLookup);
      const address = directmap(table + Math.floor(inTable / 512), (inTable % 512) * 8);
      const at = cost.readTable(address) >>> 2;
      cost.leave();
      const { i32 } = this.memory.arena;
      const lo = i32[at];
      const hi = i32[at + 1];
      const type = (hi >>> TYPE_SHIFT) & TYPE_MASK;
      if (type === ArmP2mType.Invalid) return NOTHING;
      const base = frameOf(lo, hi & 0xffff);
      if (level === 3 || (lo & TABLE) === 0) {
        const span = levelSpan(level);
        return { frame: base - (base % span) + (gfn % span), type };
      }
      table = base;
    }
  }

  private touchLock(cost: ArmPathCost): void {
    cost.enter(ArmPhase.P2mLock);
    cost.touch(directmap(OBJECT_FRAME.domain, P2M_LOCK_OFFSET), true);
    cost.leave();
  }

  private get count(): number {
    return this.memory.readU32(OBJECT_FRAME.domain * 4096 + P2M_LOCK_OFFSET);
  }

  private set count(value: number) {
    this.memory.writeU32(OBJECT_FRAME.domain * 4096 + P2M_LOCK_OFFSET, value);
  }
}

const NOTHING: ArmP2mEntry = { frame: -1, type: ArmP2mType.Invalid };
