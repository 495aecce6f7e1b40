import { PagingMode, type TranslationContext } from "@hyperwalk/mmu";
import { Dirty, Flag, Segment, SegmentWord, State } from "./cpu-state.js";
import type { ExecutionCore } from "./interpreter/core.js";

/** CR0 bits. */
export const Cr0 = {
  Pe: 1,
  Mp: 2,
  Em: 4,
  Ts: 8,
  Et: 0x10,
  Ne: 0x20,
  Wp: 0x10000,
  Am: 0x40000,
  Nw: 0x20000000,
  Cd: 0x40000000,
  Pg: -0x80000000,
} as const;

/** CR4 bits. */
export const Cr4 = {
  Pse: 0x10,
  Pae: 0x20,
  Pge: 0x80,
  OsFxsr: 0x200,
  OsXmmExcpt: 0x400,
  Umip: 0x800,
  La57: 0x1000,
  Vmxe: 0x2000,
  FsGsBase: 0x10000,
  Pcide: 0x20000,
  OsXsave: 0x40000,
  Smep: 0x100000,
  Smap: 0x200000,
  Pke: 0x400000,
} as const;

/** EFER bits. */
export const Efer = { Sce: 1, Lme: 0x100, Lma: 0x400, Nxe: 0x800, Svme: 0x1000, Ffxsr: 0x4000 } as const;

const CR0_DEFINED = 0xe005003f | 0;
const TRANSLATION_CR0 = Cr0.Pg | Cr0.Wp;
const TRANSLATION_CR4 = Cr4.Pse | Cr4.Pae | Cr4.Pge | Cr4.Pcide | Cr4.Smep | Cr4.Smap | Cr4.Pke | Cr4.La57;
const CS_LONG = 0x2000;

/** Fills a context from CR0, CR3, CR4, EFER, CPL and AC. */
export function followRegisters(context: TranslationContext, words: Int32Array): void {
  const cr0 = words[State.Cr0];
  const cr4 = words[State.Cr4];
  const efer = words[State.EferLo];
  const cr3 = words[State.Cr3Lo];
  if ((cr0 & Cr0.Pg) === 0) context.paging = PagingMode.None;
  else if ((efer & Efer.Lma) !== 0)
    context.paging = (cr4 & Cr4.La57) !== 0 ? PagingMode.FiveLevel : PagingMode.FourLevel;
  else context.paging = (cr4 & Cr4.Pae) !== 0 ? PagingMode.Pae : PagingMode.Legacy;
  const long = context.paging >= PagingMode.FourLevel;
  context.rootFrame = (cr3 >>> 12) + (long ? (words[State.Cr3Hi] & 0xfffff) * 0x100000 : 0);
  context.pcid = (cr4 & Cr4.Pcide) !== 0 ? cr3 & 0xfff : 0;
  context.wp = (cr0 & Cr0.Wp) !== 0;
  context.pse = (cr4 & Cr4.Pse) !== 0;
  context.smep = (cr4 & Cr4.Smep) !== 0;
  context.smap = (cr4 & Cr4.Smap) !== 0;
  context.nxe = (efer & Efer.Nxe) !== 0;
  context.globalPages = (cr4 & Cr4.Pge) !== 0;
  context.pke = long && (cr4 & Cr4.Pke) !== 0;
  context.user = words[State.Cpl] === 3;
  context.ac = (words[State.Flags] & Flag.Ac) !== 0;
}

/** CR0 or CR4 as the running program reads it: a hypervisor may have put something in its place. */
export function readAs(core: ExecutionCore, register: 0 | 4): number {
  const value = core.words[register === 0 ? State.Cr0 : State.Cr4];
  return core.processor.guestMode?.controlAsRead?.(register, value) ?? value;
}

/** Loads the PDPTE registers where the PAE format is in use. */
function loadPdptes(core: ExecutionCore, cr3: number): boolean {
  const result = core.mmu.loadPdptes(cr3);
  if (result === 0) return true;
  if (result < 0) core.faultIsExit = true;
  else core.protection();
  return false;
}

/** MOV CR0, LMSW, CLTS. #GP(0) on combinations that the architecture refuses. */
export function writeCr0(core: ExecutionCore, value: number, hi: number): boolean {
  const { words } = core;
  const old = words[State.Cr0];
  if (hi !== 0) return refuse(core);
  const owned = core.processor.guestMode?.ownedControl?.(0) ?? 0;
  const next = (((value & CR0_DEFINED) | Cr0.Et) & ~owned) | (old & owned);
  if ((next & Cr0.Pg) !== 0 && (next & Cr0.Pe) === 0) return refuse(core);
  if ((next & Cr0.Nw) !== 0 && (next & Cr0.Cd) === 0) return refuse(core);
  if (core.processor.guestMode?.allowsControl?.(0, next) === false) return refuse(core);
  const cr4 = words[State.Cr4];
  let efer = words[State.EferLo];
  const pagingOn = (next & Cr0.Pg) !== 0;
  const pagingChanged = ((next ^ old) & Cr0.Pg) !== 0;
  if (pagingChanged) {
    if (pagingOn && (efer & Efer.Lme) !== 0) {
      const cs = words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes];
      if ((cr4 & Cr4.Pae) === 0 || (cs & CS_LONG) !== 0) return refuse(core);
      efer |= Efer.Lma;
    } else if (!pagingOn) {
      // Leaving paging from 64-bit code or with PCIDs is refused.
      if (core.mode === 64 || (cr4 & Cr4.Pcide) !== 0) return refuse(core);
      efer &= ~Efer.Lma;
    }
    if (pagingOn && (efer & Efer.Lma) === 0 && (cr4 & Cr4.Pae) !== 0 && !loadPdptes(core, words[State.Cr3Lo]))
      return false;
  }
  words[State.Cr0] = next;
  words[State.EferLo] = efer;
  core.markDirty(Dirty.Control);
  if (((next ^ old) & TRANSLATION_CR0) !== 0) {
    if (pagingChanged) core.mmu.invalidateAsid(core.mmu.context.asid, false);
    core.syncTranslation();
  }
  core.syncMode();
  return true;
}

export function writeCr3(core: ExecutionCore, lo: number, hi: number): boolean {
  const { words } = core;
  const pcide = (words[State.Cr4] & Cr4.Pcide) !== 0;
  const keep = pcide && hi < 0;
  const high = pcide ? hi & 0x7fffffff : hi;
  const bits = core.mmu.context.physicalAddressBits;
  if (core.longMode && high >>> 0 >= 2 ** (bits - 32)) return refuse(core);
  const pae = !core.longMode && (words[State.Cr0] & Cr0.Pg) !== 0 && (words[State.Cr4] & Cr4.Pae) !== 0;
  if (pae && !loadPdptes(core, lo)) return false;
  words[State.Cr3Lo] = lo;
  words[State.Cr3Hi] = high;
  core.markDirty(Dirty.Control);
  if (!keep) core.mmu.invalidatePcid(pcide ? lo & 0xfff : 0, true);
  core.syncTranslation();
  return true;
}

export function writeCr4(core: ExecutionCore, wanted: number, hi: number): boolean {
  const { words } = core;
  const old = words[State.Cr4];
  if (hi !== 0 || (wanted & ~core.definedCr4) !== 0) return refuse(core);
  const owned = core.processor.guestMode?.ownedControl?.(4) ?? 0;
  const value = (wanted & ~owned) | (old & owned);
  if (core.processor.guestMode?.allowsControl?.(4, value) === false) return refuse(core);
  const changed = old ^ value;
  const paging = (words[State.Cr0] & Cr0.Pg) !== 0;
  if (core.longMode && ((value & Cr4.Pae) === 0 || (changed & Cr4.La57) !== 0)) return refuse(core);
  if ((changed & value & Cr4.Pcide) !== 0 && (!core.longMode || (words[State.Cr3Lo] & 0xfff) !== 0))
    return refuse(core);
  const paeFormat = paging && !core.longMode && (value & Cr4.Pae) !== 0;
  if (
    paeFormat &&
    (changed & (Cr4.Pae | Cr4.Pge | Cr4.Pse | Cr4.Smep)) !== 0 &&
    !loadPdptes(core, words[State.Cr3Lo])
  )
    return false;
  words[State.Cr4] = value;
  core.markDirty(Dirty.Control);
  if ((changed & TRANSLATION_CR4) !== 0) {
    // SDM vol. 3, 4.10.4.1: changes of PGE, PAE, PSE, PCIDE (to 0) and SMEP (to 1) empty the TLB, globals included.
    const flushing = Cr4.Pge | Cr4.Pae | Cr4.Pse;
    if (
      (changed & flushing) !== 0 ||
      (changed & ~value & Cr4.Pcide) !== 0 ||
      (changed & value & Cr4.Smep) !== 0
    )
      core.mmu.invalidateAsid(core.mmu.context.asid, false);
    core.syncTranslation();
  }
  return true;
}

function refuse(core: ExecutionCore): false {
  core.protection();
  return false;
}
