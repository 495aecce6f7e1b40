import { ENCRYPTED_FRAME, encryptedFrame } from "../memory-encryption.js";
import { Ept, frameOf, Pte, tableIndex } from "../paging/pte.js";
import { FRAME_BYTES, type PhysicalMemory } from "../physical-memory.js";
import { PagingMode, type SecondStage, type TranslationContext } from "../translation-context.js";
import { isCanonical } from "./canonical.js";

/**
 * Machine frame of a linear address or -1, from the tables alone: presence counts, rights do not, and nothing is
 * charged, cached or flagged. For debuggers and tests.
 */
export function probeFrame(
  memory: PhysicalMemory,
  context: TranslationContext,
  lo: number,
  hi: number,
): number {
  const gfn = probeGuest(memory, context, lo, hi);
  return gfn < 0 ? -1 : probeView(memory, context, gfn, context.paging < PagingMode.Pae);
}

/** {@link probeStage} of a frame number that may have a C-bit. @param table it holds a table: encrypted in any case */
function probeView(memory: PhysicalMemory, context: TranslationContext, gfn: number, table: boolean): number {
  const { secondStage } = context;
  const key = secondStage?.encryptionKey ?? 0;
  if (key === 0) return probeStage(memory, secondStage, gfn);
  const marked = gfn >= ENCRYPTED_FRAME;
  const frame = probeStage(memory, secondStage, marked ? gfn - ENCRYPTED_FRAME : gfn);
  return frame >= 0 && (marked || table) ? encryptedFrame(frame, key) : frame;
}

/** Machine frame of a guest frame or -1, likewise. */
export function probeStage(memory: PhysicalMemory, stage: SecondStage | null, gfn: number): number {
  if (stage === null) return gfn;
  if (stage.levels === 4 && gfn >= 2 ** 36) return -1;
  const present = stage.format === "ept" ? Ept.All : Pte.Present;
  const lo = (gfn << 12) | 0;
  const hi = Math.floor(gfn / 0x100000);
  return descend(memory, (table) => table, stage.rootFrame, stage.levels, lo, hi, present);
}

function probeGuest(memory: PhysicalMemory, context: TranslationContext, lo: number, hi: number): number {
  const locate = (gfn: number): number => probeView(memory, context, gfn, true);
  switch (context.paging) {
    case PagingMode.None:
      return (lo >>> 12) + (hi & 0xfffff) * 0x100000;
    case PagingMode.Legacy: {
      const pde = readWord(memory, locate(context.rootFrame), (lo >>> 22) * 4);
      if ((pde & Pte.Present) === 0) return -1;
      if ((pde & Pte.PageSize) !== 0 && context.pse)
        return (pde >>> 22) * 1024 + ((pde >>> 13) & 0xff) * 0x100000 + ((lo >>> 12) & 1023);
      const pte = readWord(memory, locate(pde >>> 12), ((lo >>> 12) & 1023) * 4);
      return (pte & Pte.Present) === 0 ? -1 : pte >>> 12;
    }
    case PagingMode.Pae: {
      const pdpte = context.pdpte[lo >>> 30];
      if ((pdpte & Pte.Present) === 0) return -1;
      return descend(memory, locate, Math.floor(pdpte / FRAME_BYTES), 2, lo, 0, Pte.Present);
    }
    default:
      if (!isCanonical(hi, context.paging)) return -1;
      return descend(memory, locate, context.rootFrame, context.paging, lo, hi, Pte.Present);
  }
}

function descend(
  memory: PhysicalMemory,
  locate: (table: number) => number,
  root: number,
  levels: number,
  lo: number,
  hi: number,
  present: number,
): number {
  let frame = root;
  for (let level = levels; ; level--) {
    const table = locate(frame);
    const offset = tableIndex(lo, hi, level) * 8;
    const entry = readWord(memory, table, offset);
    if ((entry & present) === 0) return -1;
    frame = frameOf(entry, readWord(memory, table, offset + 4));
    if (level > 1 && (entry & Pte.PageSize) === 0) continue;
    const inside = level === 1 ? 0 : level === 2 ? 0x1ff : 0x3ffff;
    return frame - (frame & inside) + (((lo >>> 12) | (hi << 20)) & inside);
  }
}

/** 0, which is not present in any format, where no RAM answers. */
function readWord(memory: PhysicalMemory, frame: number, offset: number): number {
  return frame < 0 || !memory.isRam(frame) ? 0 : memory.readU32(frame * FRAME_BYTES + offset) | 0;
}
