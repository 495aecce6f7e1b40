import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PhasedPathCost } from "./path-cost.js";

/** Prices nothing and touches no cache: what happens before a guest starts, or on another processor. */
export class FreePathCost implements PhasedPathCost {
  readonly instructions = 0;
  private readonly memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.memory = memory;
  }

  compile(): number {
    return 0;
  }

  run(): void {
    // Nothing.
  }

  access(frame: number, offset: number): number {
    return this.memory.frameOffset(frame) + offset;
  }

  phase(): number {
    return 0;
  }

  enter(): void {
    // Nothing.
  }

  leave(): void {
    // Nothing.
  }

  estimates(): readonly never[] {
    return [];
  }
}
