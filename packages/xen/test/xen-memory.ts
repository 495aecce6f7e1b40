import { Arena, PhysicalMemory } from "@hyperwalk/mmu";
import type { PhasedPathCost } from "../src/path-cost/path-cost.ts";
import type { Stage } from "../src/path-cost/stage.ts";

/** Simulated memory with a heap that hands out frames from 16 on. */
export function xenMemory(): { memory: PhysicalMemory; allocateFrame: () => number } {
  const memory = new PhysicalMemory(new Arena());
  memory.addRam(0, 4096);
  let next = 16;
  return { memory, allocateFrame: () => next++ };
}

/** A path cost that only remembers what was touched and run. */
export class RecordingCost implements PhasedPathCost {
  readonly instructions = 0;
  readonly touched: { frame: number; offset: number; bytes: number; write: boolean }[] = [];
  readonly stages: string[] = [];
  private readonly compiled: Stage[] = [];
  readonly memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.memory = memory;
  }

  compile(stage: Stage): number {
    const known = this.compiled.indexOf(stage);
    return known >= 0 ? known : this.compiled.push(stage) - 1;
  }

  run(stage: number): void {
    this.stages.push(this.compiled[stage].name);
  }

  access(frame: number, offset: number, bytes: number, write: boolean): number {
    this.touched.push({ frame, offset, bytes, write });
    return this.memory.frameOffset(frame) + offset;
  }

  phase(): number {
    return 0;
  }

  enter(): void {}

  leave(): void {}

  estimates(): [] {
    return [];
  }
}
