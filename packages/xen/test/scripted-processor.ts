import {
  BranchPredictor,
  CpuState,
  EventInDelivery,
  type ExecutionEngine,
  type GuestMode,
  Intercept,
  type Processor,
  type ProcessorProfile,
  type ResolvedProfile,
  resolveProfile,
  State,
  StopReason,
} from "@hyperwalk/cpu";
import { Arena, CycleLedger, Mmu, PagingMode, PhysicalMemory } from "@hyperwalk/mmu";

/** What a scripted guest does at each step: changes registers and memory, then names the instruction that exits. */
export type GuestScript = (cpu: ScriptedProcessor, step: number) => number | undefined;

const VENDOR_CALL = { amd: Intercept.Vmmcall, intel: Intercept.Vmcall } as const;

/**
 * A processor whose guest is a function instead of code: real memory, caches, control structures and exits, no
 * instructions. A step without an exit ends the run as if the budget were used up.
 */
export class ScriptedProcessor {
  readonly arena: Arena = new Arena();
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: Mmu;
  readonly state: CpuState;
  readonly profile: ResolvedProfile;
  readonly predictor: BranchPredictor;
  readonly probes: { onTimestamp?: (timestamp: number) => void } = {};
  guestMode: GuestMode | null = null;
  guestContext: null = null;
  readonly eventInDelivery: EventInDelivery = new EventInDelivery();
  delivered: number[] = [];
  /** Root of the guest's page tables, for scripts. */
  cr3 = 0;
  private steps = 0;
  private readonly script: GuestScript;
  readonly engine: ExecutionEngine;

  constructor(profile: ProcessorProfile, script: GuestScript) {
    this.script = script;
    this.profile = resolveProfile(profile);
    this.memory = new PhysicalMemory(this.arena);
    this.ledger = new CycleLedger(this.arena);
    this.mmu = new Mmu(this.arena, this.memory, this.ledger, this.profile.memory);
    this.state = new CpuState(this.arena);
    this.predictor = new BranchPredictor(this.arena, this.profile.predictor, this.profile.timing);
    const cpu = this;
    let instructions = 0;
    this.engine = {
      get instructions(): number {
        return instructions;
      },
      lastUnsupported: undefined,
      snapshot: () => ({ instructions, pendingStop: -1, resuming: false }),
      restore: () => {},
      run(): number {
        for (;;) {
          const event = cpu.script(cpu, cpu.steps++);
          if (event === undefined) return StopReason.Budget;
          instructions++;
          if (cpu.guestMode?.interceptInstruction(event, cpu.info, event === Intercept.Cpuid ? 2 : 3))
            return StopReason.VmExit;
        }
      },
      rflags: (): number => this.state.words[State.Flags],
      setRflags: (value: number): void => {
        this.state.words[State.Flags] = value;
      },
    };
  }

  /** Operand of the next intercepted instruction, see `GuestMode`. */
  info = 0;

  get words(): Int32Array {
    return this.state.words;
  }

  set(register: number, lo: number, hi = 0): void {
    this.words[2 * register] = lo;
    this.words[2 * register + 1] = hi;
  }

  /** A hypercall of this vendor with its number in rax. */
  hypercall(number: number): number {
    this.set(0, number);
    return VENDOR_CALL[this.profile.vendor];
  }

  /** 64-bit mode with these page tables, as if the guest had set it up. */
  enterLongMode(cr3: number): void {
    const { words } = this;
    words[State.Cr0] = (1 << 31) | (1 << 16) | 0x31;
    words[State.Cr4] = 0x20;
    words[State.Cr3Lo] = cr3;
    words[State.Cr3Hi] = 0;
    words[State.EferLo] |= 0xd00;
    words[State.Segments + 8 + 1] = 0xa09b;
    words[State.Dirty] = 31;
  }

  /** RDTSC, as the interpreter does it. */
  readTimestamp(): void {
    this.ledger.alignToCycle(0);
    this.probes.onTimestamp?.(this.ledger.cycles);
  }

  syncTranslation(): void {
    const { context } = this.mmu;
    context.paging = this.words[State.Cr0] < 0 ? PagingMode.FourLevel : PagingMode.None;
    context.rootFrame = this.words[State.Cr3Lo] >>> 12;
    this.mmu.reload();
  }

  deliverEvent(_kind: number, vector: number): boolean {
    this.delivered.push(vector);
    return true;
  }

  /** The system takes it for a processor: everything that Xen uses is here. */
  asProcessor(): Processor {
    return this as unknown as Processor;
  }
}
