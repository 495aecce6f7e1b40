import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Entry } from "./entry.js";
import { HotOp } from "./hot-op.js";

/** Words of a block record. */
export const Block = {
  /** Arena offset of its first byte. */
  Offset: 0,
  /** {@link ModeBits} it was decoded for. */
  Mode: 1,
  /** Index of its first entry's first word. */
  First: 2,
  /** Instructions, the closing `Leave` entry not counted. */
  Count: 3,
  /** Issue ticks of all instructions. */
  Cost: 4,
  /** {@link Further}: what is fetched after its first line. */
  Further: 5,
  /** Arena offset of the second page of an instruction that crosses one, else 0 (1 when `Further.Stops`). */
  SecondPage: 6,
  /** Next block with the same hash, or 0. */
  HashNext: 7,
  /** Next block of the same frame, or 0. */
  FrameNext: 8,
  Stride: 12,
} as const;

/** Fields of a block's `Further` word. */
export const Further = {
  /** 64-byte lines after the first. */
  LinesMask: 15,
  /** Its only instruction crosses a page. */
  Crosses: 16,
  /** The engine may have to stop before it. */
  Stops: 32,
} as const;

/** Most instructions in a block. */
export const MAX_BLOCK_INSTRUCTIONS = 32;
const HASH_BITS = 15;
const HASH_MASK = (1 << HASH_BITS) - 1;

/** Most blocks of a processor, and most of their entries. */
const MAX_BLOCKS = 1 << 16;
const MAX_ENTRIES = 1 << 18;

/** What decoded blocks are kept in; what it held before does not matter. */
export interface BlockArrays {
  /** Entries, see `entry.ts`; a block takes one an instruction and one more. */
  readonly code: Int32Array;
  /** Block records; block numbers are indices of their first word, 0 is none. */
  readonly blocks: Int32Array;
}

export function blockArrays(): BlockArrays {
  return {
    code: new Int32Array(MAX_ENTRIES * Entry.Stride),
    blocks: new Int32Array((MAX_BLOCKS + 1) * Block.Stride),
  };
}

/**
 * Decoded blocks by the physical place of their first byte. Blocks of a frame are dropped when it is written; when
 * the store is full, everything is dropped, so that what is decoded depends on nothing but the program's past.
 */
export class BlockStore implements BlockArrays {
  readonly code: Int32Array;
  readonly blocks: Int32Array;
  /** Block number by hash; see {@link blockHash}. */
  readonly heads: Int32Array = new Int32Array(HASH_MASK + 1);
  private frameHeads: Int32Array = new Int32Array(0);
  private readonly memory: PhysicalMemory;
  private blockTop: number = Block.Stride;
  private codeTop = 0;
  /** Blocks whose only instruction crosses a page: any of two frames drops them. */
  private crossing: number[] = [];

  constructor(memory: PhysicalMemory, { code, blocks }: BlockArrays) {
    this.memory = memory;
    this.code = code;
    this.blocks = blocks;
  }

  /** Whether another block of the greatest size fits. */
  get hasRoom(): boolean {
    return (
      this.blockTop + Block.Stride <= this.blocks.length &&
      this.codeTop + (MAX_BLOCK_INSTRUCTIONS + 1) * Entry.Stride <= this.code.length
    );
  }

  /** Where the next block's entries go. */
  get nextEntry(): number {
    return this.codeTop;
  }

  /** Adds a block whose entries were written from {@link nextEntry} on. @returns its number */
  add(
    offset: number,
    mode: number,
    count: number,
    cost: number,
    lines: number,
    secondPage: number,
    stops: boolean,
  ): number {
    const { blocks } = this;
    const block = this.blockTop;
    const slot = blockHash(offset, mode);
    blocks[block + Block.Offset] = offset;
    blocks[block + Block.Mode] = mode;
    blocks[block + Block.First] = this.codeTop;
    blocks[block + Block.Count] = count;
    blocks[block + Block.Cost] = cost;
    blocks[block + Block.Further] =
      (lines - 1) | (secondPage !== 0 ? Further.Crosses : 0) | (stops ? Further.Stops : 0);
    blocks[block + Block.SecondPage] = secondPage !== 0 || !stops ? secondPage : 1;
    blocks[block + Block.HashNext] = this.heads[slot];
    this.heads[slot] = block;
    const frame = offset >>> 12;
    if (frame >= this.frameHeads.length) this.growFrames(frame);
    blocks[block + Block.FrameNext] = this.frameHeads[frame];
    this.frameHeads[frame] = block;
    if (secondPage !== 0) this.crossing.push(block);
    this.blockTop += Block.Stride;
    this.codeTop += (count + 1) * Entry.Stride;
    return block;
  }

  /** The frame at this arena offset is about to be written: its blocks are gone. */
  dropFrame(frameOffset: number): void {
    const frame = frameOffset >>> 12;
    this.memory.codeSlots[frame] = 0;
    if (this.crossing.length !== 0) this.dropCrossing(frameOffset & -4096);
    if (frame >= this.frameHeads.length) return;
    let block = this.frameHeads[frame];
    this.frameHeads[frame] = 0;
    while (block !== 0) {
      const next = this.blocks[block + Block.FrameNext];
      this.unlink(block);
      block = next;
    }
  }

  /** Drops everything. */
  clear(): void {
    this.heads.fill(0);
    this.frameHeads.fill(0);
    this.crossing = [];
    this.blockTop = Block.Stride;
    this.codeTop = 0;
  }

  private dropCrossing(page: number): void {
    const { blocks } = this;
    this.crossing = this.crossing.filter((block) => {
      const mine =
        (blocks[block + Block.Offset] & -4096) === page || blocks[block + Block.SecondPage] === page;
      if (mine) this.unlink(block);
      return !mine;
    });
  }

  /** Takes a block out of its hash chain; one that runs right now leaves at its next entry. */
  private unlink(block: number): void {
    const { blocks, heads, code } = this;
    const slot = blockHash(blocks[block + Block.Offset], blocks[block + Block.Mode]);
    if (heads[slot] === block) heads[slot] = blocks[block + Block.HashNext];
    else
      for (let at = heads[slot]; at !== 0; at = blocks[at + Block.HashNext])
        if (blocks[at + Block.HashNext] === block) {
          blocks[at + Block.HashNext] = blocks[block + Block.HashNext];
          break;
        }
    const first = blocks[block + Block.First];
    const end = first + blocks[block + Block.Count] * Entry.Stride;
    for (let at = first; at < end; at += Entry.Stride) code[at + Entry.Op] = HotOp.Leave;
  }

  private growFrames(frame: number): void {
    const grown = new Int32Array(Math.max(frame + 1, this.frameHeads.length * 2, 16384));
    grown.set(this.frameHeads);
    this.frameHeads = grown;
  }
}

/** Slot of {@link BlockStore.heads}. */
export function blockHash(offset: number, mode: number): number {
  return (offset ^ (offset >>> 12) ^ (mode << 9)) & HASH_MASK;
}
