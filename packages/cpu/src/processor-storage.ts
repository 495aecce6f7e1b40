import { Arena } from "@hyperwalk/mmu";
import { type BlockArrays, blockArrays } from "./interpreter/block-store.js";

/**
 * The host memory of one processor (some 50 MB of address space), for programs that make one machine after the other:
 * allocated anew for each, its release costs more than many a run. A processor that is given a storage takes it from the
 * one that had it before, which must not be used any more.
 */
export class ProcessorStorage {
  private arena: Arena | undefined;
  private readonly blocks: BlockArrays = blockArrays();

  /**
   * Hands it over, as good as new.
   * @internal for the processor that it is given to
   */
  take(): { readonly arena: Arena; readonly blocks: BlockArrays } {
    // One that had to grow is not kept: how soon an arena is full must not depend on who had it before.
    if (this.arena === undefined || this.arena.hasGrown) this.arena = new Arena();
    else this.arena.recycle();
    return { arena: this.arena, blocks: this.blocks };
  }
}
