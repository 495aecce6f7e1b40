import { Cause } from "@hyperwalk/mmu";
import { Cr0, Cr4, readAs, writeCr0, writeCr3, writeCr4 } from "../../control-registers.js";
import { Activity, Dirty, Flag, Segment, State } from "../../cpu-state.js";
import { Dr6, Dr7 } from "../../debug/breakpoints.js";
import { Vector } from "../../exceptions/vector.js";
import { StopReason } from "../../execution-engine.js";
import { Intercept, RegisterAccess, registerInfo, WRITTEN_EFER } from "../../guest-mode.js";
import { Msr } from "../../msr.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

function cpuid(core: ExecutionCore, pc: number): number {
  const { words, timing, leaf } = core;
  if (core.intercepted(Intercept.Cpuid, 0, pc)) return core.exit();
  core.charge(Cause.Serialise, timing.cpuid);
  core.processor.cpuid.query(words[0] >>> 0, words[State.Gpr + 2] >>> 0, leaf);
  core.writeRegister(0, 2, leaf[0], 0);
  core.writeRegister(6, 2, leaf[1], 0);
  core.writeRegister(2, 2, leaf[2], 0);
  core.writeRegister(4, 2, leaf[3], 0);
  return Status.EndBlock;
}

function hlt(core: ExecutionCore, pc: number): number {
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.Hlt, 0, pc)) return core.exit();
  core.words[State.Activity] = Activity.Halted;
  core.stopReason = StopReason.Halted;
  return Status.RetireAndStop;
}

function rdmsr(core: ExecutionCore, pc: number): number {
  const { words, processor } = core;
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.Rdmsr, 0, pc)) return core.exit();
  core.charge(Cause.Microcode, core.timing.rdmsr);
  const { msrs } = processor;
  if (!msrs.read(words[State.Gpr + 2] >>> 0)) return core.protection();
  core.writeRegister(0, 2, msrs.lo, 0);
  core.writeRegister(4, 2, msrs.hi, 0);
  return Status.EndBlock;
}

function wrmsr(core: ExecutionCore, pc: number): number {
  const { words, processor, timing } = core;
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.Wrmsr, 0, pc)) return core.exit();
  const index = words[State.Gpr + 2] >>> 0;
  if (!processor.msrs.write(index, words[0], words[4])) return core.protection();
  if (index === Msr.PredCmd) core.charge(Cause.PredictorBarrier, timing.ibpb);
  else core.charge(Cause.Serialise, index === Msr.SpecCtrl ? timing.wrmsrSpecCtrl : timing.wrmsr);
  core.syncMode();
  if (index === Msr.Efer) controlWritten(core, WRITTEN_EFER, pc);
  return Status.EndBlock;
}

/** RDTSC, RDTSCP: CR4.TSD keeps them to CPL 0. */
function rdtsc(core: ExecutionCore, pc: number): number {
  const { words, processor } = core;
  const withAux = core.variantOf(pc) === 1;
  if (withAux && core.undefinedInGuest(Intercept.Rdtscp)) return core.undefined();
  if ((words[State.Cr4] & 4) !== 0 && !core.privileged()) return Status.Fault;
  if (core.intercepted(withAux ? Intercept.Rdtscp : Intercept.Rdtsc, 0, pc)) return core.exit();
  core.charge(Cause.Microcode, core.timing.rdtsc);
  const now = processor.readTimestamp();
  core.writeRegister(0, 2, (now % 0x100000000) | 0, 0);
  core.writeRegister(4, 2, Math.floor(now / 0x100000000) | 0, 0);
  if (withAux) core.writeRegister(2, 2, processor.msrs.read(Msr.TscAux) ? processor.msrs.lo : 0, 0);
  return Status.EndBlock;
}

function rdpid(core: ExecutionCore, pc: number): number {
  const { msrs } = core.processor;
  if (core.undefinedInGuest(Intercept.Rdpid)) return core.undefined();
  core.writeRegister(core.code[pc + Entry.A], 3, msrs.read(Msr.TscAux) ? msrs.lo : 0, 0);
  return Status.Next;
}

/** LFENCE, MFENCE, SERIALIZE; SFENCE orders stores, which cost nothing here. */
function fence(core: ExecutionCore, pc: number): number {
  const { timing } = core;
  const variant = core.variantOf(pc);
  core.charge(
    Cause.Serialise,
    variant === 0 ? timing.lfence : variant === 1 ? timing.mfence : timing.serialise,
  );
  return Status.Next;
}

function pause(core: ExecutionCore, pc: number): number {
  if (core.intercepted(Intercept.Pause, 0, pc)) return core.exit();
  core.charge(Cause.Serialise, core.timing.pause);
  return Status.EndBlock;
}

function wbinvd(core: ExecutionCore, pc: number): number {
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(core.variantOf(pc) === 1 ? Intercept.Invd : Intercept.Wbinvd, 0, pc))
    return core.exit();
  core.charge(Cause.Serialise, core.timing.serialise);
  core.mmu.flushCaches();
  return Status.EndBlock;
}

function clflush(core: ExecutionCore, pc: number): number {
  const segment = core.segmentOf(pc);
  if (!core.address(pc, 1, false)) return Status.Fault;
  core.charge(Cause.Issue, core.timing.issue);
  if (core.mmu.flushLine(core.eaLo, core.eaHi) < 0) {
    core.memoryFault(segment);
    return Status.Fault;
  }
  return Status.Next;
}

function invlpg(core: ExecutionCore, pc: number): number {
  if (!core.privileged()) return Status.Fault;
  core.offsetOf(pc);
  const segment = core.segmentOf(pc);
  const at = State.Segments + 8 * segment + 3;
  const based = core.mode !== 64 || segment >= Segment.Fs;
  const lo = (core.lo + (based ? core.words[at] : 0)) | 0;
  const hi = based && core.mode === 64 ? (core.hi + core.words[at + 1]) | 0 : core.hi;
  core.processor.interceptAddressLo = lo;
  core.processor.interceptAddressHi = hi;
  if (core.intercepted(Intercept.Invlpg, 0, pc)) return core.exit();
  core.charge(Cause.Serialise, core.timing.invlpg);
  if (core.canonical(lo, hi)) core.mmu.invalidatePage(lo, hi);
  return Status.EndBlock;
}

/** INVPCID: type in a register, PCID and address in memory. */
function invpcid(core: ExecutionCore, pc: number): number {
  if (core.undefinedInGuest(Intercept.Invpcid)) return core.undefined();
  if (!core.privileged()) return Status.Fault;
  if (core.interceptedOperands(Intercept.Invpcid, 0, pc)) return core.exit();
  const segment = core.segmentOf(pc);
  core.readRegister(core.code[pc + Entry.A], core.mode === 64 ? 3 : 2);
  const type = core.lo;
  const typeHi = core.hi;
  if (!core.address(pc, 16, false)) return Status.Fault;
  const { eaLo, eaHi } = core;
  if (!core.load(3, segment)) return Status.Fault;
  const pcid = core.lo;
  const reserved = core.hi;
  core.eaLo = (eaLo + 8) | 0;
  core.eaHi = core.eaLo >>> 0 < 8 && core.mode === 64 ? (eaHi + 1) | 0 : eaHi;
  if (!core.load(3, segment)) return Status.Fault;
  if (typeHi !== 0 || type >>> 0 > 3 || reserved !== 0 || pcid >>> 0 > 4095) return core.protection();
  const pcide = (core.words[State.Cr4] & Cr4.Pcide) !== 0;
  if (type < 2 && pcid !== 0 && !pcide) return core.protection();
  if (type === 0 && !core.processor.canonicalBase(core.hi)) return core.protection();
  const { mmu } = core;
  if (type === 0) mmu.invalidatePcidPage(pcid, core.lo, core.hi);
  else if (type === 1) mmu.invalidatePcid(pcid, true);
  else mmu.invalidateAsid(mmu.context.asid, type === 3);
  core.charge(Cause.Serialise, core.timing.invlpg);
  return Status.EndBlock;
}

/** MOV CRn, r: variants are the register numbers. */
function writeControl(core: ExecutionCore, pc: number): number {
  const { words, timing } = core;
  const register = core.variantOf(pc);
  const gpr = core.code[pc + Entry.B] >> 1;
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.CrWrite, registerInfo(register, gpr, RegisterAccess.MovTo), pc))
    return core.exit();
  core.readRegister(core.code[pc + Entry.B], core.mode === 64 ? 3 : 2);
  const { lo, hi } = core;
  switch (register) {
    case 0:
      if (!writeCr0(core, lo, hi)) return Status.Fault;
      core.charge(Cause.Serialise, timing.serialise);
      break;
    case 2:
      words[State.Cr2Lo] = lo;
      words[State.Cr2Hi] = hi;
      core.charge(Cause.Microcode, timing.cliSti);
      break;
    case 3:
      if (!writeCr3(core, lo, hi)) return Status.Fault;
      core.charge(Cause.Serialise, timing.movCr3);
      break;
    case 4:
      if (!writeCr4(core, lo, hi)) return Status.Fault;
      core.syncDebug();
      core.charge(Cause.Serialise, timing.serialise);
      break;
    default:
      if (hi !== 0 || (lo & ~15) !== 0) return core.protection();
      words[State.Cr8] = lo;
      if (core.processor.guestMode === null) core.processor.apic.taskPriority = lo << 4;
      core.charge(Cause.Microcode, timing.cliSti);
  }
  controlWritten(core, register, pc);
  return Status.EndBlock;
}

/** Tells the guest mode of a control register that took a new value; a VM exit may follow the instruction. */
function controlWritten(core: ExecutionCore, register: number, pc: number): void {
  if (core.processor.guestMode !== null) core.intercepted(Intercept.ControlWritten, register, pc);
}

function readControl(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const register = core.variantOf(pc);
  const gpr = core.code[pc + Entry.A] >> 1;
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.CrRead, registerInfo(register, gpr, RegisterAccess.MovFrom), pc))
    return core.exit();
  core.charge(Cause.Microcode, core.timing.cliSti);
  let lo = 0;
  let hi = 0;
  if (register === 0) lo = readAs(core, 0);
  else if (register === 2) {
    lo = words[State.Cr2Lo];
    hi = words[State.Cr2Hi];
  } else if (register === 3) {
    lo = words[State.Cr3Lo];
    hi = words[State.Cr3Hi];
  } else lo = register === 4 ? readAs(core, 4) : words[State.Cr8];
  core.writeRegister(core.code[pc + Entry.A], core.mode === 64 ? 3 : 2, lo, hi);
  return Status.Next;
}

/** MOV DRn, r and back; DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. */
function debugRegister(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const variant = core.variantOf(pc);
  const store = (variant & 8) !== 0;
  let register = variant & 7;
  const operand = code[pc + (store ? Entry.B : Entry.A)];
  const info = registerInfo(register, operand >> 1, store ? RegisterAccess.MovTo : RegisterAccess.MovFrom);
  // On Intel the exit comes before every fault (SDM vol. 3, 26.1.3), on AMD after them (APM vol. 2, table 15-7).
  if (!core.amd && core.intercepted(Intercept.DrAccess, info, pc)) return core.exit();
  if ((register === 4 || register === 5) && (words[State.Cr4] & 8) !== 0) return core.undefined();
  if (!core.privileged()) return Status.Fault;
  if ((words[State.Dr7] & Dr7.GeneralDetect) !== 0) {
    core.debugStatus = Dr6.GeneralDetect;
    words[State.Flags] |= Flag.Rf; // it is a fault, and pushes RF like one
    return core.raisePlain(Vector.Db);
  }
  if (core.amd && core.intercepted(Intercept.DrAccess, info, pc)) return core.exit();
  if (register === 4 || register === 5) register += 2;
  core.charge(Cause.Microcode, core.timing.cliSti);
  const size = core.mode === 64 ? 3 : 2;
  if (!store) {
    if (register < 4)
      core.writeRegister(operand, size, words[State.Dr0 + 2 * register], words[State.Dr0 + 2 * register + 1]);
    else core.writeRegister(operand, size, words[register === 6 ? State.Dr6 : State.Dr7], 0);
    return Status.Next;
  }
  core.readRegister(operand, size);
  if (register < 4) {
    words[State.Dr0 + 2 * register] = core.lo;
    words[State.Dr0 + 2 * register + 1] = core.hi;
  } else {
    if (core.hi !== 0) return core.protection();
    if (register === 6) words[State.Dr6] = (core.lo & Dr6.Writable) | Dr6.Fixed;
    else words[State.Dr7] = (core.lo & ~Dr7.Reserved) | Dr7.Fixed;
  }
  core.markDirty(Dirty.Debug);
  core.syncDebug();
  return Status.EndBlock;
}

function lmsw(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (!core.privileged()) return Status.Fault;
  if (!core.first(pc, 1)) return Status.Fault;
  const source = core.lo & 0xffff;
  const memory = (core.code[pc + Entry.Form] & Form.MemoryFirst) !== 0;
  core.processor.interceptAddressLo = memory ? core.eaLo : 0;
  core.processor.interceptAddressHi = memory ? core.eaHi : 0;
  const info = registerInfo(0, memory ? 1 : 0, RegisterAccess.Lmsw, source);
  if (core.intercepted(Intercept.CrWrite, info, pc)) return core.exit();
  // PE can be set, not cleared.
  const next = (words[State.Cr0] & ~0xe) | (source & 0xf);
  if (!writeCr0(core, next, 0)) return Status.Fault;
  core.charge(Cause.Serialise, core.timing.serialise);
  controlWritten(core, 0, pc);
  return Status.EndBlock;
}

function smsw(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if ((words[State.Cr4] & Cr4.Umip) !== 0 && words[State.Cpl] !== 0) return core.protection();
  if (core.intercepted(Intercept.CrRead, registerInfo(0, 0, RegisterAccess.Smsw), pc)) return core.exit();
  return core.writeFirst(pc, core.sizeOf(pc), readAs(core, 0), 0) ? Status.Next : Status.Fault;
}

function clts(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.CrWrite, registerInfo(0, 0, RegisterAccess.Clts), pc)) return core.exit();
  words[State.Cr0] &= ~Cr0.Ts | (core.processor.guestMode?.ownedControl?.(0) ?? 0);
  core.markDirty(Dirty.Control);
  core.charge(Cause.Microcode, core.timing.cliSti);
  return Status.EndBlock;
}

function rdpmc(core: ExecutionCore, pc: number): number {
  if ((core.words[State.Cr4] & 0x100) === 0 && !core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.Rdpmc, 0, pc)) return core.exit();
  return core.protection();
}

function monitor(core: ExecutionCore, pc: number): number {
  const event = core.variantOf(pc) === 0 ? Intercept.Monitor : Intercept.Mwait;
  if (core.words[State.Cpl] !== 0) return core.undefined();
  return core.intercepted(event, 0, pc) ? core.exit() : core.undefined();
}

/** RDPKRU, WRPKRU. */
function protectionKeys(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const { context } = core.mmu;
  if ((words[State.Cr4] & Cr4.Pke) === 0) return core.undefined();
  if (words[State.Gpr + 2] !== 0) return core.protection();
  if (core.variantOf(pc) === 0) {
    core.writeRegister(0, 2, context.pkru, 0);
    core.writeRegister(4, 2, 0, 0);
    return Status.Next;
  }
  if (words[State.Gpr + 4] !== 0) return core.protection();
  context.pkru = words[0];
  core.mmu.reload();
  core.charge(Cause.Microcode, core.timing.cliSti);
  return Status.EndBlock;
}

/** UD0, UD1, UD2. */
function undefinedOpcode(core: ExecutionCore): number {
  return core.undefined();
}

const ABSENT =
  "xabort xbegin xend xtest encls enclu vmfunc getsec movdiri monitorx mwaitx clzero invlpgb tlbsync rmpupdate psmash rsm";

export const SYSTEM: Family = {
  cpuid,
  hlt,
  rdmsr,
  wrmsr,
  rdtsc: [rdtsc, 0],
  rdtscp: [rdtsc, 1],
  rdpid,
  lfence: [fence, 0],
  mfence: [fence, 1],
  serialize: [fence, 2],
  sfence: () => Status.Next,
  pause,
  wbinvd: [wbinvd, 0],
  wbnoinvd: [wbinvd, 0],
  invd: [wbinvd, 1],
  clflush,
  clflushopt: clflush,
  clwb: clflush,
  invlpg,
  invpcid,
  movtocr: writeControl,
  movfromcr: readControl,
  movtodr: debugRegister,
  movfromdr: debugRegister,
  lmsw,
  smsw,
  clts,
  rdpmc,
  monitor: [monitor, 0],
  mwait: [monitor, 1],
  rdpkru: [protectionKeys, 0],
  wrpkru: [protectionKeys, 1],
  // Of features that no profile shows (RTM, SGX, SMX, MOVDIRI, MONITORX, SEV-SNP), and RSM outside SMM.
  ...Object.fromEntries(ABSENT.split(" ").map((key) => [key, undefinedOpcode])),
  ud0: undefinedOpcode,
  ud1: undefinedOpcode,
  ud2: undefinedOpcode,
};
