import { CacheHierarchy, type CacheHierarchySnapshot } from "../cache/cache-hierarchy.js";
import { lineHigh, lineLow } from "../cache/line-number.js";
import { Cause, type CycleLedger, ticks } from "../cycle-ledger.js";
import type { MemoryProfile } from "../memory-profile.js";
import { MmuCounter } from "../mmu-counter.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { RecencyClock } from "../recency-clock.js";
import type { TlbHierarchy } from "../tlb/tlb-hierarchy.js";
import { TablePort } from "../walk/table-port.js";
import { ArmFault, FaultStatus, parOfFault, parOfFrame } from "./arm-fault.js";
import {
  ArmAccess,
  type ArmRegime,
  type ArmStage1Context,
  type ArmStage2Context,
  type ArmTableBase,
} from "./arm-regime.js";
import { ArmStage2Walker } from "./arm-stage2-walker.js";
import {
  ArmTranslationCaches,
  type ArmTranslationCachesSnapshot,
  EL2_SPACE,
  guestSpace,
  MAX_ASID,
  MAX_VMID,
  type Tlbi,
} from "./arm-translation-caches.js";
import { ArmWalker } from "./arm-walker.js";

/** Everything a memory side is made from. */
export interface ArmMmuOptions {
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly profile: MemoryProfile;
  /** Of the random replacement policies; default 1. */
  readonly seed?: number;
  /** Smallest stage 2 page that the cache of intermediate physical addresses keeps; default 2m. */
  readonly ipaCacheSmallest?: "4k" | "2m" | "1g";
}

/** Contents of caches and TLBs as plain data; the contexts are the owner's. */
export interface ArmMmuSnapshot {
  readonly caches: CacheHierarchySnapshot;
  readonly translations: ArmTranslationCachesSnapshot;
  readonly counters: Float64Array;
  readonly recency: number;
}

/** A context or an address that the architecture does not have. */
export class ArmContextError extends RangeError {
  readonly code = "ARM_CONTEXT";
  readonly key: string;
  readonly allowed: string;
  constructor(key: string, found: string, allowed: string) {
    super(`${key}: ${found}; allowed: ${allowed}`);
    this.name = "ArmContextError";
    this.key = key;
    this.allowed = allowed;
  }
}

const KIND_OF = { "4k": 0, "2m": 1, "1g": 2 } as const;

/**
 * The memory side of one Arm processing element: data and instruction accesses of EL2 and of the guest, address
 * translation instructions and TLB maintenance, all through the same caches. Virtual addresses are 64-bit values.
 *
 * Charges: what L2, the L3 and DRAM cost over an L1 hit, less what the core hides (`overlap`); a second-level TLB hit;
 * every table reference of a walk in full. Barriers and the instructions themselves are their executor's.
 */
export class ArmMmu {
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly caches: CacheHierarchy;
  readonly translations: ArmTranslationCaches;
  /** By {@link MmuCounter}: `GuestReferences` are reads of the guest's stage 1 tables, not of EL2's. */
  readonly counters: Float64Array = new Float64Array(MmuCounter.Length);
  /** Why the latest access returned -1. */
  readonly fault: ArmFault = new ArmFault();
  private readonly clock: RecencyClock;
  private readonly profile: MemoryProfile;
  private readonly guestWalker: ArmWalker;
  private readonly hostWalker: ArmWalker;
  private readonly stage2Walker: ArmStage2Walker;
  private readonly prices: readonly number[];
  private guest: ArmStage1Context | null = null;
  private stage2: ArmStage2Context | null = null;
  private host: ArmTableBase | null = null;
  private space = 0;

  constructor({ memory, ledger, profile, seed = 1, ipaCacheSmallest = "2m" }: ArmMmuOptions) {
    const { arena } = memory;
    this.memory = memory;
    this.ledger = ledger;
    this.profile = profile;
    this.clock = new RecencyClock(arena);
    this.caches = new CacheHierarchy(arena, this.clock, profile, seed);
    this.translations = new ArmTranslationCaches(arena, this.clock, profile, seed);
    const port = new TablePort(memory, this.caches, ledger, this.clock, this.counters, profile);
    const { walk } = this.translations;
    const bits = profile.physicalAddressBits;
    const least = KIND_OF[ipaCacheSmallest];
    this.stage2Walker = new ArmStage2Walker(memory, port, walk, this.fault, bits, least);
    this.guestWalker = new ArmWalker(memory, port, walk, this.fault);
    this.hostWalker = new ArmWalker(memory, port, walk, this.fault);
    this.hostWalker.configure(null, EL2_SPACE, bits, true);
    const { l1d, l2, l3, dramLatency } = profile;
    this.prices = [0, l1d.latency, l2.latency, l3.latency, dramLatency];
  }

  /** TTBR0_EL2 and TCR_EL2. */
  setHost(base: ArmTableBase | null): void {
    this.host = base;
  }

  /**
   * Takes over a vCPU's EL1&0 regime: stage 1, and stage 2 of its domain. Cached translations stay.
   * @throws {ArmContextError} for a geometry or tag that does not exist
   */
  setGuest(stage1: ArmStage1Context | null, stage2: ArmStage2Context | null): void {
    for (const [key, base] of [
      ["lower", stage1?.lower],
      ["upper", stage1?.upper],
    ] as const)
      if (base != null) checkRange(`${key}.inputBits`, base.inputBits, 25, 48);
    if (stage1 !== null) {
      checkRange("asid", stage1.asid, 0, MAX_ASID);
      checkRange("outputBits", stage1.outputBits, 32, 48);
    }
    if (stage2 !== null) {
      checkRange("vmid", stage2.vmid, 0, MAX_VMID);
      checkRange("ipaBits", stage2.ipaBits, 32, 48);
    }
    this.guest = stage1;
    this.stage2 = stage2;
    const vmid = stage2?.vmid ?? 0;
    this.space = guestSpace(vmid, stage1?.asid ?? 0);
    if (stage2 !== null) this.stage2Walker.attach(stage2, guestSpace(vmid, 0));
    const bits = stage1?.outputBits ?? this.profile.physicalAddressBits;
    this.guestWalker.configure(stage2 === null ? null : this.stage2Walker, this.space, bits);
  }

  /** VMID that TLB maintenance acts on. */
  get vmid(): number {
    return this.stage2?.vmid ?? 0;
  }

  /**
   * Reads up to a line at an address.
   * @param dependent the core has nothing else to do until it comes: latency is charged in full, as in a software walk
   * @returns arena offset of the byte, or -1 with {@link fault}
   */
  read(regime: ArmRegime, address: bigint, dependent = false): number {
    return this.access(regime, address, ArmAccess.Read, dependent);
  }

  /** The same for a write: the bytes at the returned offset are the current ones. */
  write(regime: ArmRegime, address: bigint, dependent = false): number {
    return this.access(regime, address, ArmAccess.Write, dependent);
  }

  /** Fetches the line of instructions at an address. @returns arena offset, or -1 with {@link fault} */
  fetch(regime: ArmRegime, address: bigint): number {
    const frame = this.translate(regime, address, ArmAccess.Fetch, this.translations.instruction);
    if (frame < 0) return -1;
    const at = this.memory.frameOffset(frame);
    if (at < 0) return this.noRam();
    const offset = Number(address & 4095n);
    const level = this.caches.instruction(lineLow(frame, offset >>> 6), lineHigh(frame), this.clock.next());
    this.charge(level, MmuCounter.FetchL2, 1 - this.profile.overlap.fetch, 0);
    return at + offset;
  }

  /**
   * AT S12E1R and AT S12E1W (`write`), or AT S1E1R and AT S1E1W (`stages` 1): the guest's translation of an address as
   * EL1 would make it, through TLBs and walk caches, with what that costs; the instruction itself is the caller's.
   * A stage 1 answer (an intermediate physical address) is never cached as a whole.
   * @returns what PAR_EL1 holds afterwards
   */
  at(address: bigint, write: boolean, stages: 1 | 12 = 12): bigint {
    const access = write ? ArmAccess.Write : ArmAccess.Read;
    if (stages === 12) {
      const frame = this.translate("el1", address, access, this.translations.data);
      return frame < 0 ? parOfFault(this.fault) : parOfFrame(frame);
    }
    const ipaFrame = this.stage1Only(address, access);
    return ipaFrame < 0 ? parOfFault(this.fault) : parOfFrame(ipaFrame);
  }

  /** TLB maintenance on this processing element, for the present VMID. */
  tlbi(operation: Tlbi): void {
    this.counters[MmuCounter.Invalidations]++;
    this.translations.invalidate(operation, this.vmid);
  }

  /** Empties caches of data and instructions; what they hold is in memory already. */
  flushCaches(): void {
    this.caches.flushAll();
  }

  /** A line was written by another processing element: it leaves this one's caches (not a shared L3's own cost). */
  snoop(frame: number, offset: number): void {
    this.caches.flushLine(lineLow(frame, offset >>> 6), lineHigh(frame));
  }

  snapshot(): ArmMmuSnapshot {
    return {
      caches: this.caches.snapshot(),
      translations: this.translations.snapshot(),
      counters: this.counters.slice(),
      recency: this.clock.view[this.clock.at],
    };
  }

  restore(snapshot: ArmMmuSnapshot): void {
    this.caches.restore(snapshot.caches);
    this.translations.restore(snapshot.translations);
    this.counters.set(snapshot.counters);
    this.clock.view[this.clock.at] = snapshot.recency;
  }

  private access(regime: ArmRegime, address: bigint, access: number, dependent: boolean): number {
    const frame = this.translate(regime, address, access, this.translations.data);
    if (frame < 0) return -1;
    const at = this.memory.frameOffset(frame);
    if (at < 0) return this.noRam();
    const offset = Number(address & 4095n);
    const write = access === ArmAccess.Write;
    const level = this.caches.data(lineLow(frame, offset >>> 6), lineHigh(frame), write, this.clock.next());
    const { overlap, l1d } = this.profile;
    if (dependent) this.charge(level, MmuCounter.DataL2, 1, l1d.latency);
    else this.charge(level, MmuCounter.DataL2, 1 - (write ? overlap.store : overlap.load), 0);
    return at + offset;
  }

  /** @param share of the latency beyond L1 that is charged @param first cycles for L1 itself */
  private charge(level: number, counter: number, share: number, first: number): void {
    if (first > 0) this.ledger.charge(Cause.L1, ticks(first));
    if (level === 1) return;
    this.counters[counter + level - 2]++;
    const cause = level === 2 ? Cause.L2 : level === 3 ? Cause.L3 : Cause.Dram;
    this.ledger.charge(cause, ticks((this.prices[level] - this.prices[1]) * share));
  }

  private translate(regime: ArmRegime, address: bigint, access: number, side: TlbHierarchy): number {
    const page = Number(BigInt.asUintN(64, address) >> 12n);
    const pageLo = page | 0;
    const pageHi = Math.floor(page / 0x100000000);
    const el2 = regime === "el2";
    const space = el2 ? EL2_SPACE : this.space;
    const walker = el2 ? this.hostWalker : this.guestWalker;
    let entry = side.first.find(pageLo, pageHi, space, 0);
    if (entry >= 0) side.first.array.touch(entry, this.clock.next());
    else {
      const fetches = side === this.translations.instruction;
      this.counters[fetches ? MmuCounter.ItlbMisses : MmuCounter.DtlbMisses]++;
      entry = side.refill(pageLo, pageHi, space, 0);
      if (entry >= 0) {
        this.counters[fetches ? MmuCounter.ItlbSecondLevelHits : MmuCounter.DtlbSecondLevelHits]++;
        this.ledger.charge(Cause.Tlb, ticks(this.profile.l2TlbLatency));
      }
    }
    if (entry >= 0) {
      const { array } = side.first;
      if (walker.permits(array.rightsOf(entry), access)) return array.frameFor(entry, pageLo);
      return this.refused();
    }
    if (!this.walk(walker, el2, page, pageLo, pageHi, access)) return this.refused();
    side.fill(walker.kind, pageLo, pageHi, space, 0, walker.rights, walker.frame);
    return walker.frame;
  }

  /** A walk without the second stage's part for the page itself. */
  private stage1Only(address: bigint, access: number): number {
    const page = Number(BigInt.asUintN(64, address) >> 12n);
    const { guest, guestWalker } = this;
    if (guest === null || !guest.enabled) return page;
    guestWalker.stopAtIpa = true;
    const done = this.walk(guestWalker, false, page, page | 0, Math.floor(page / 0x100000000), access);
    guestWalker.stopAtIpa = false;
    return done ? guestWalker.frame : this.refused();
  }

  private walk(
    walker: ArmWalker,
    el2: boolean,
    page: number,
    pageLo: number,
    pageHi: number,
    access: number,
  ): boolean {
    if (el2) return this.walkBase(walker, this.host, page, pageLo, pageHi, access);
    const { guest } = this;
    if (guest === null || !guest.enabled) return walker.walk(null, page, pageLo, pageHi, access);
    // Bit 55 says which half an address belongs to (D8.2.4).
    const upper = (pageHi & 0x800) !== 0;
    const base = upper ? guest.upper : guest.lower;
    const inRange = upper && base !== null ? page - (2 ** 52 - 2 ** (base.inputBits - 12)) : page;
    return this.walkBase(walker, base, inRange, pageLo, pageHi, access);
  }

  private walkBase(
    walker: ArmWalker,
    base: ArmTableBase | null,
    inRange: number,
    pageLo: number,
    pageHi: number,
    access: number,
  ): boolean {
    const outside =
      base === null || base.disabled === true || inRange < 0 || inRange >= 2 ** (base.inputBits - 12);
    if (outside) return walker.refuse(FaultStatus.Translation);
    return walker.walk(base, inRange, pageLo, pageHi, access);
  }

  private refused(): number {
    this.counters[this.fault.stage2 ? MmuCounter.SecondStageFaults : MmuCounter.PageFaults]++;
    return -1;
  }

  private noRam(): number {
    const { fault } = this;
    fault.status = FaultStatus.External;
    fault.stage2 = false;
    fault.onWalk = false;
    return this.refused();
  }
}

function checkRange(key: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new ArmContextError(key, String(value), `a whole number from ${least} to ${most}`);
}
