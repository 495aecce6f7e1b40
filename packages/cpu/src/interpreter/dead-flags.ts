import { Entry, FLAGS_DEAD } from "./entry.js";
import { HotOp } from "./hot-op.js";

// What an operation means for the arithmetic flags of the one before it.
/** Leaves them alone and cannot leave the block. */
const PASSES = 1;
/** Replaces all of them without a look, and cannot leave the block. */
const REPLACES = 2;
/** The switch can do without making its flags. */
const MAY_GO_WITHOUT = 4;

const { AddRR32, TestRR32, AddRR64, TestRR64, AddRI32, TestRI32, AddRI64, TestRI64 } = HotOp;
const { AddRM32, AddRM64, SubRM32, OrRM64, AndRM64, SubRM64, XorRM64, ImulRM32, ImulRM64 } = HotOp;

const MEANING: Uint8Array = meanings();

function meanings(): Uint8Array {
  const all = new Uint8Array(256);
  const mark = (meaning: number, ...ops: number[]) => {
    for (const op of ops) all[op] |= meaning;
  };
  const from = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  mark(PASSES, HotOp.Nop, ...from(HotOp.MovRR32, HotOp.Cqo), HotOp.Not32, HotOp.Not64);
  mark(PASSES, HotOp.Bswap32, HotOp.Bswap64, HotOp.XchgRR64, HotOp.Lea32, HotOp.Lea64);
  mark(REPLACES, ...from(AddRR32, TestRR32), ...from(AddRR64, TestRR64));
  mark(REPLACES, ...from(AddRI32, TestRI32), ...from(AddRI64, TestRI64));
  mark(REPLACES, HotOp.ClearReg, HotOp.Neg32, HotOp.Neg64);
  mark(REPLACES, ...from(HotOp.ShlRI32, HotOp.SarRI64), ...from(HotOp.ImulRR32, HotOp.ImulRRI64));
  mark(REPLACES, HotOp.CmpRI8, HotOp.TestRR8, HotOp.TestRI8, HotOp.CmpRR8);
  mark(MAY_GO_WITHOUT, HotOp.AddRR32, HotOp.SubRR32, ...from(AddRR64, HotOp.XorRR64));
  mark(MAY_GO_WITHOUT, HotOp.AddRI32, HotOp.SubRI32, ...from(AddRI64, HotOp.XorRI64));
  mark(MAY_GO_WITHOUT, AddRM32, SubRM32, AddRM64, OrRM64, AndRM64, SubRM64, XorRM64);
  mark(MAY_GO_WITHOUT, HotOp.Neg32, HotOp.Neg64, ...from(HotOp.ShlRI32, HotOp.SarRI64));
  mark(MAY_GO_WITHOUT, ...from(HotOp.ImulRR32, HotOp.ImulRRI64), ImulRM32, ImulRM64);
  return all;
}

/**
 * Marks operations whose arithmetic flags nobody can see: all of them are replaced by a later operation of the block before
 * anything reads them, faults, or leaves the block in another way. Memory operands can fault, handlers can do anything.
 * @param first index of the block's first entry, complete @param count of entries, the last one's flags are seen
 */
export function markDeadFlags(code: Int32Array, first: number, count: number): void {
  let seen = true;
  for (let at = first + (count - 1) * Entry.Stride; at >= first; at -= Entry.Stride) {
    const meaning = MEANING[code[at] & 0xff];
    if (!seen && (meaning & MAY_GO_WITHOUT) !== 0) code[at] |= FLAGS_DEAD;
    if ((meaning & REPLACES) !== 0) seen = false;
    else if ((meaning & PASSES) === 0) seen = true;
  }
}
