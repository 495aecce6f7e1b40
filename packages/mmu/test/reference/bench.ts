import type { MemoryProfile, MmuSnapshot, PhysicalMemorySnapshot, TranslationContext } from "@hyperwalk/mmu";
import { TestMachine } from "../machine.js";

const ARENA_BYTES = 2 ** 20;
const CONTEXTS = 4;
/** Sequences after which a new machine costs less than clearing all the frames that the old one touched. */
const RENEWAL = 500;

/** One machine for many sequences: making one costs more than running one. */
export class Bench {
  machine!: TestMachine;
  private readonly profile: MemoryProfile;
  private contexts: TranslationContext[] = [];
  private mmu!: MmuSnapshot;
  private memory!: PhysicalMemorySnapshot;
  private used = 0;

  constructor(profile: MemoryProfile) {
    this.profile = profile;
    this.renew();
  }

  /** Back to empty memory, empty caches and paging off. @returns the address spaces to use */
  clear(): readonly TranslationContext[] {
    if (++this.used > RENEWAL) this.renew();
    const { mmu, memory } = this.machine;
    mmu.setTimed(true);
    mmu.restore(this.mmu);
    memory.restore(this.memory);
    return this.contexts;
  }

  private renew(): void {
    this.used = 0;
    this.machine = new TestMachine(this.profile, {}, ARENA_BYTES);
    this.contexts = Array.from({ length: CONTEXTS }, () => this.machine.mmu.createContext());
    this.mmu = this.machine.mmu.snapshot();
    this.memory = this.machine.memory.snapshot();
  }
}
