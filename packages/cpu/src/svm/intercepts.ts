import type { CycleLedger, PhysicalMemory } from "@hyperwalk/mmu";
import { GuestRun, State } from "../cpu-state.js";
import { INTERCEPTS, Intercept, IoInfo, RegisterAccess, TaskSwitchSource } from "../guest-mode.js";
import { ExitKind } from "../hardware-virtualization.js";
import { General1, General2, General3, SvmExitCode } from "./exit-code.js";
import { ioIntercepted, msrIntercepted } from "./permission-maps.js";
import { VmcbOffset } from "./vmcb-fields.js";

/** Intercepts that are one bit with one exit code: event, intercept word 1-3, bit, exit code, exit kind. */
const SINGLE_BIT: readonly (readonly [number, number, number, number, number])[] = [
  [Intercept.Cpuid, 1, General1.Cpuid, SvmExitCode.Cpuid, ExitKind.Cpuid],
  [Intercept.Hlt, 1, General1.Hlt, SvmExitCode.Hlt, ExitKind.Hlt],
  [Intercept.Vmmcall, 2, General2.Vmmcall, SvmExitCode.Vmmcall, ExitKind.Hypercall],
  [Intercept.Rdtsc, 1, General1.Rdtsc, SvmExitCode.Rdtsc, ExitKind.Other],
  [Intercept.Rdtscp, 2, General2.Rdtscp, SvmExitCode.Rdtscp, ExitKind.Other],
  [Intercept.Invlpg, 1, General1.Invlpg, SvmExitCode.Invlpg, ExitKind.Other],
  [Intercept.Wbinvd, 2, General2.Wbinvd, SvmExitCode.Wbinvd, ExitKind.Other],
  [Intercept.Rdpmc, 1, General1.Rdpmc, SvmExitCode.Rdpmc, ExitKind.Other],
  [Intercept.Monitor, 2, General2.Monitor, SvmExitCode.Monitor, ExitKind.Other],
  [Intercept.Mwait, 2, General2.Mwait, SvmExitCode.Mwait, ExitKind.Other],
  [Intercept.Xsetbv, 2, General2.Xsetbv, SvmExitCode.Xsetbv, ExitKind.Other],
  [Intercept.Invd, 1, General1.Invd, SvmExitCode.Invd, ExitKind.Other],
  [Intercept.TaskSwitch, 1, General1.TaskSwitch, SvmExitCode.TaskSwitch, ExitKind.Other],
  [Intercept.Shutdown, 1, General1.Shutdown, SvmExitCode.Shutdown, ExitKind.Shutdown],
  [Intercept.Invpcid, 3, General3.Invpcid, SvmExitCode.Invpcid, ExitKind.Other],
  [Intercept.Pause, 1, General1.Pause, SvmExitCode.Pause, ExitKind.Other],
  [Intercept.Pushf, 1, General1.Pushf, SvmExitCode.Pushf, ExitKind.Other],
  [Intercept.Popf, 1, General1.Popf, SvmExitCode.Popf, ExitKind.Other],
  [Intercept.Iret, 1, General1.Iret, SvmExitCode.Iret, ExitKind.Other],
  [Intercept.SoftwareInterrupt, 1, General1.Swint, SvmExitCode.Swint, ExitKind.Other],
  [Intercept.Icebp, 2, General2.Icebp, SvmExitCode.Icebp, ExitKind.Other],
];
/** Everything about an event in one small integer: code 0-11, kind 12-17, bit 18-22, word 24-25. */
const RULES: Int32Array = new Int32Array(INTERCEPTS);
for (const [event, word, bit, code, kind] of SINGLE_BIT)
  RULES[event] = code | (kind << 12) | (bit << 18) | (word << 24);

/** Intercepts of instructions whose handlers ask only when one of these is set. */
const FLAG_INSTRUCTIONS =
  (1 << General1.Pushf) | (1 << General1.Popf) | (1 << General1.Iret) | (1 << General1.Swint);

/** A16, A32, A64 of IOIO's EXITINFO1, by log2 bytes of the address size; none where it is not known. */
const ADDRESS_SIZE: readonly number[] = [0, 0x80, 0x100, 0x200];

/** CR0 bits that may change without a selective intercept: TS and MP. */
const CR0_UNSELECTED = 0xa;

/**
 * The intercept vectors of one VMCB, held in the processor while the guest runs. {@link wants} answers for an
 * instruction and leaves the exit's code and information in the fields.
 */
export class SvmIntercepts {
  /** EXITCODE, {@link ExitKind} and EXITINFO of the latest intercept that was wanted. */
  code = 0;
  kind = 0;
  info1Lo = 0;
  info1Hi = 0;
  info2Lo = 0;
  info2Hi = 0;
  exceptions = 0;
  general1 = 0;
  general2 = 0;
  private general3 = 0;
  private cr = 0;
  private dr = 0;
  private iopm = 0;
  private msrpm = 0;
  private pauseCount = 0;
  private pauseThreshold = 0;
  private pausesLeft = 0;
  private latestPause = 0;
  private readonly memory: PhysicalMemory;
  private readonly ledger: CycleLedger;
  private readonly decodeAssists: boolean;

  constructor(memory: PhysicalMemory, ledger: CycleLedger, decodeAssists: boolean) {
    this.memory = memory;
    this.ledger = ledger;
    this.decodeAssists = decodeAssists;
  }

  /** Takes the vectors from the VMCB whose first word is `memory[at]`. */
  loadVectors(memory: Int32Array, at: number): void {
    this.cr = memory[at + (VmcbOffset.CrIntercepts >>> 2)];
    this.dr = memory[at + (VmcbOffset.DrIntercepts >>> 2)];
    this.exceptions = memory[at + (VmcbOffset.ExceptionIntercepts >>> 2)];
    this.general1 = memory[at + (VmcbOffset.General1Intercepts >>> 2)];
    this.general2 = memory[at + (VmcbOffset.General2Intercepts >>> 2)];
    this.general3 = memory[at + (VmcbOffset.General3Intercepts >>> 2)];
    const filter = memory[at + (VmcbOffset.PauseFilterCount >>> 2)]; // both halves of the word
    this.pauseThreshold = filter & 0xffff;
    this.pauseCount = filter >>> 16;
  }

  /** Takes the addresses of the permission maps. */
  loadMaps(memory: Int32Array, at: number): void {
    const iopm = at + (VmcbOffset.IopmBase >>> 2);
    const msrpm = at + (VmcbOffset.MsrpmBase >>> 2);
    this.iopm = pages(memory[iopm], memory[iopm + 1]);
    this.msrpm = pages(memory[msrpm], memory[msrpm + 1]);
  }

  /** The copies as plain data. */
  values(): readonly number[] {
    const { cr, dr, exceptions, general1, general2, general3, iopm, msrpm } = this;
    const { pausesLeft, latestPause, pauseCount, pauseThreshold } = this;
    const pause = [pausesLeft, latestPause, pauseCount, pauseThreshold];
    return [cr, dr, exceptions, general1, general2, general3, iopm, msrpm, ...pause];
  }

  restore(values: readonly number[]): void {
    [this.cr, this.dr, this.exceptions, this.general1, this.general2, this.general3] = values;
    [this.iopm, this.msrpm] = values.slice(6);
    [this.pausesLeft, this.latestPause, this.pauseCount, this.pauseThreshold] = values.slice(8);
  }

  /** VMRUN starts the pause filter anew. */
  startPauseFilter(): void {
    this.pausesLeft = this.pauseCount;
    this.latestPause = 0;
  }

  /** `GuestRun` bits of a guest under these intercepts. */
  get run(): number {
    const asked = (this.general1 & FLAG_INSTRUCTIONS) !== 0 || bit(this.general2, General2.Icebp);
    return GuestRun.Running | (asked ? GuestRun.FlagInstructions : 0);
  }

  /** Exit code after a write of a control register (or EFER, any other number) that took effect; 0: none. */
  writeTrap(register: number): number {
    if (register >= 0)
      return bit(this.general2, General2.CrWriteTrap + register) ? SvmExitCode.CrWriteTrap + register : 0;
    return bit(this.general2, General2.EferWriteTrap) ? SvmExitCode.EferWriteTrap : 0;
  }

  /**
   * @param event an {@link Intercept} number @param info see `GuestMode.interceptInstruction`
   * @param nextRipLo RIP of the following instruction, for I/O
   */
  wants(event: number, info: number, nextRipLo: number, nextRipHi: number, words: Int32Array): boolean {
    this.info1Lo = 0;
    this.info1Hi = 0;
    this.info2Lo = 0;
    this.info2Hi = 0;
    const rule = RULES[event];
    if (rule !== 0) {
      const word = rule >>> 24;
      const vector = word === 1 ? this.general1 : word === 2 ? this.general2 : this.general3;
      if (((vector >>> ((rule >>> 18) & 31)) & 1) === 0) return false;
      if (event === Intercept.Pause && this.filterPause()) return false;
      if (event === Intercept.TaskSwitch) {
        // The selector; IRET in bit 36 and far JMP in bit 38 of EXITINFO2 (APM vol. 2, 15.14.1).
        this.info1Lo = info & 0xffff;
        const source = info >>> 30;
        this.info2Hi = source === TaskSwitchSource.Iret ? 0x10 : source === TaskSwitchSource.Jump ? 0x40 : 0;
      }
      if (event === Intercept.SoftwareInterrupt && this.decodeAssists) this.info1Lo = info;
      return this.want(rule & 0xfff, (rule >>> 12) & 63);
    }
    switch (event) {
      case Intercept.Rdmsr:
      case Intercept.Wrmsr: {
        const write = event === Intercept.Wrmsr;
        if (!bit(this.general1, General1.Msr)) return false;
        if (!msrIntercepted(this.memory, this.msrpm, words[State.Gpr + 2], write)) return false;
        this.info1Lo = write ? 1 : 0;
        return this.want(SvmExitCode.Msr, write ? ExitKind.Wrmsr : ExitKind.Rdmsr);
      }
      case Intercept.IoRead:
      case Intercept.IoWrite:
        return this.wantsIo(event === Intercept.IoRead, info, nextRipLo, nextRipHi);
      case Intercept.CrRead:
        return this.wantsRegister(this.cr, info, SvmExitCode.CrRead);
      case Intercept.CrWrite:
        if (this.wantsRegister(this.cr >>> 16, info, SvmExitCode.CrWrite)) return true;
        return this.wantsSelective(info, words);
      case Intercept.DrAccess: {
        const read = ((info >>> 8) & 0xff) === RegisterAccess.MovFrom;
        const wanted = this.wantsRegister(
          read ? this.dr : this.dr >>> 16,
          info,
          read ? SvmExitCode.DrRead : SvmExitCode.DrWrite,
        );
        this.info1Hi = 0; // bit 63 belongs to MOV CR only
        this.kind = ExitKind.Other;
        return wanted;
      }
      case Intercept.DescriptorTable:
        if (!bit(this.general1, General1.DescriptorTable + info)) return false;
        return this.want(SvmExitCode.IdtrRead + info, ExitKind.Other);
      case Intercept.SvmInstruction:
        if (info === 7) {
          if (!bit(this.general1, General1.Invlpga)) return false;
          return this.want(SvmExitCode.Invlpga, ExitKind.Other);
        }
        if (!bit(this.general2, info)) return false;
        return this.want(SvmExitCode.Vmrun + info, ExitKind.Other);
      default:
        return false; // VMCALL and the VMX instructions are undefined on this vendor
    }
  }

  /** APM vol. 2, 15.14.4: a PAUSE that follows late enough starts the count anew. @returns true when it is let through */
  private filterPause(): boolean {
    const now = this.ledger.cycles;
    if (this.pauseThreshold !== 0 && now - this.latestPause > this.pauseThreshold)
      this.pausesLeft = this.pauseCount;
    this.latestPause = now;
    if (this.pausesLeft === 0) return false;
    this.pausesLeft--;
    return true;
  }

  private want(code: number, kind: number): boolean {
    this.code = code;
    this.kind = kind;
    return true;
  }

  private wantsRegister(vector: number, info: number, family: number): boolean {
    const register = info & 15;
    if (!bit(vector, register)) return false;
    if (this.decodeAssists && ((info >>> 8) & 0xff) <= RegisterAccess.MovFrom) {
      this.info1Lo = (info >>> 4) & 15;
      this.info1Hi = 1 << 31;
    }
    return this.want(family + register, ExitKind.CrAccess);
  }

  /** Writes of CR0 that change more than TS and MP. */
  private wantsSelective(info: number, words: Int32Array): boolean {
    if ((info & 15) !== 0 || !bit(this.general1, General1.Cr0Selective)) return false;
    const access = (info >>> 8) & 0xff;
    const old = words[State.Cr0];
    let next = old;
    if (access === RegisterAccess.MovTo) next = words[State.Gpr + 2 * ((info >>> 4) & 15)];
    else if (access === RegisterAccess.Lmsw) next = ~old; // whatever it writes (APM vol. 2, table 15-7)
    if (((next ^ old) & ~CR0_UNSELECTED) === 0) return false;
    if (this.decodeAssists && access === RegisterAccess.MovTo) {
      this.info1Lo = (info >>> 4) & 15;
      this.info1Hi = 1 << 31;
    }
    return this.want(SvmExitCode.Cr0SelectiveWrite, ExitKind.CrAccess);
  }

  /** EXITINFO1 of IOIO: APM vol. 2, figure 15-2; EXITINFO2 is the next RIP. */
  private wantsIo(read: boolean, info: number, nextLo: number, nextHi: number): boolean {
    const port = info & 0xffff;
    const bytes = (info >>> IoInfo.BytesShift) & IoInfo.BytesMask;
    if (!bit(this.general1, General1.Ioio) || !ioIntercepted(this.memory, this.iopm, port, bytes))
      return false;
    this.info1Lo =
      (read ? 1 : 0) |
      ((info & IoInfo.String) !== 0 ? 4 : 0) |
      ((info & IoInfo.Repeated) !== 0 ? 8 : 0) |
      (bytes << 4) |
      ADDRESS_SIZE[(info >>> IoInfo.AddressShift) & 3] |
      (port << 16);
    if (this.decodeAssists && (info & IoInfo.String) !== 0)
      this.info1Lo |= ((info >>> IoInfo.SegmentShift) & 7) << 10;
    this.info2Lo = nextLo;
    this.info2Hi = nextHi;
    return this.want(SvmExitCode.Ioio, ExitKind.Io);
  }
}

function bit(vector: number, number: number): boolean {
  return ((vector >>> number) & 1) !== 0;
}

/** Machine address of a page-aligned table. */
function pages(lo: number, hi: number): number {
  return ((lo & ~4095) >>> 0) + hi * 0x100000000;
}
