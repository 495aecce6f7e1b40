import {
  Arena,
  CycleLedger,
  LongModeTables,
  Mmu,
  PagingMode,
  PhysicalMemory,
  Pte,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { CpuState, State } from "../../src/cpu-state.js";
import { EventInDelivery } from "../../src/event-in-delivery.js";
import { type ExecutionEngine, StopReason } from "../../src/execution-engine.js";
import type { GuestMode } from "../../src/guest-mode.js";
import { DIRECTMAP_HI } from "../../src/host-lines.js";
import type { ProcessorProfile, ResolvedProfile } from "../../src/profile.js";
import { resolveProfile } from "../../src/resolve-profile.js";
import type { VirtualizedProcessor } from "../../src/virtualized-processor.js";

export const RAM_FRAMES = 4096;

/** What a scripted guest does when it runs: changes state, asks the guest mode, returns a stop reason. */
export type GuestScript = (processor: ScriptedProcessor, guest: GuestMode) => number | undefined;

/**
 * A processor whose engine runs a TypeScript script instead of instructions, so that entry and exit can be tested by
 * themselves. The host is mapped through a real direct map of 1 GiB pages.
 */
export class ScriptedProcessor implements VirtualizedProcessor {
  readonly arena: Arena = new Arena(64 * 1024 * 1024);
  readonly memory: PhysicalMemory = new PhysicalMemory(this.arena);
  readonly ledger: CycleLedger = new CycleLedger(this.arena);
  readonly mmu: Mmu;
  readonly state: CpuState = new CpuState(this.arena);
  readonly profile: ResolvedProfile;
  readonly host: TranslationContext;
  guestMode: GuestMode | null = null;
  guestContext: TranslationContext | null = null;
  script: GuestScript = () => undefined;
  /** Events that were delivered: kind, vector, error code (or -1), length. */
  readonly delivered: number[][] = [];
  /** Makes delivery itself leave the guest. */
  onDelivery: ((guest: GuestMode) => boolean) | undefined;
  interceptAddressLo = 0;
  interceptAddressHi = 0;
  interceptOperands = 0;
  readonly eventInDelivery: EventInDelivery = new EventInDelivery();
  syncs = 0;
  private nextFrame = 1;

  constructor(profile: ProcessorProfile) {
    this.profile = resolveProfile(profile);
    this.memory.addRam(0, RAM_FRAMES);
    this.mmu = new Mmu(this.arena, this.memory, this.ledger, this.profile.memory);
    const tables = new LongModeTables({ memory: this.memory, allocate: () => this.allocate() });
    tables.map((DIRECTMAP_HI >>> 0) * 2 ** 20, 0, "1g", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
    this.host = this.mmu.createContext();
    this.host.paging = PagingMode.FourLevel;
    this.host.rootFrame = tables.rootFrame;
    this.mmu.activate(this.host);
  }

  allocate(): number {
    return this.nextFrame++;
  }

  get words(): Int32Array {
    return this.state.words;
  }

  readonly engine: ExecutionEngine = {
    instructions: 0,
    lastUnsupported: undefined,
    run: () => this.script(this, this.guestMode!) ?? StopReason.VmExit,
    rflags: () => this.state.words[State.Flags],
    setRflags: (value: number) => {
      this.state.words[State.Flags] = value | 2;
    },
    snapshot: () => ({ instructions: 0, pendingStop: -1, resuming: false }),
    restore: () => {},
  };

  /** The part of a processor's rule that these tests need. */
  syncTranslation(): void {
    this.syncs++;
    const w = this.state.words;
    const context = this.guestContext ?? this.host;
    if (context === this.host) return;
    const paged = w[State.Cr0] < 0;
    const long = (w[State.EferLo] & 0x500) === 0x500 || (w[State.EferLo] & 0x100) !== 0;
    context.paging = !paged
      ? PagingMode.None
      : long
        ? PagingMode.FourLevel
        : (w[State.Cr4] & 0x20) !== 0
          ? PagingMode.Pae
          : PagingMode.Legacy;
    context.rootFrame = (w[State.Cr3Lo] >>> 12) + (w[State.Cr3Hi] >>> 0) * 0x100000;
    context.user = w[State.Cpl] === 3;
    context.ac = (w[State.Flags] & 0x40000) !== 0;
    this.mmu.reload();
  }

  deliverEvent(
    kind: number,
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    length: number,
  ): boolean {
    this.delivered.push([kind, vector, hasErrorCode ? errorCode : -1, length]);
    this.eventInDelivery.begin(kind, vector, errorCode, hasErrorCode, length);
    if (this.onDelivery?.(this.guestMode!)) return false;
    this.eventInDelivery.clear();
    return true;
  }
}
