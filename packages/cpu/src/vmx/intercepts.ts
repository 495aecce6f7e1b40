import { type CycleLedger, FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { GuestRun, State } from "../cpu-state.js";
import { INTERCEPTS, Intercept, IoInfo, RegisterAccess } from "../guest-mode.js";
import { ExitKind } from "../hardware-virtualization.js";
import { PrimaryControl, SecondaryControl } from "./controls.js";
import { VmxExitReason } from "./exit-reason.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";

/** When an event leaves: always, or by one bit of the primary or secondary controls. */
const ALWAYS = 0;
const PRIMARY = 1;
const SECONDARY = 2;
/** Event, kind of condition, control bit, exit reason, exit kind. */
const SINGLE_BIT: readonly (readonly [number, number, number, number, number])[] = [
  [Intercept.Cpuid, ALWAYS, 0, VmxExitReason.Cpuid, ExitKind.Cpuid],
  [Intercept.Invd, ALWAYS, 0, VmxExitReason.Invd, ExitKind.Other],
  [Intercept.Xsetbv, ALWAYS, 0, VmxExitReason.Xsetbv, ExitKind.Other],
  [Intercept.Vmcall, ALWAYS, 0, VmxExitReason.Vmcall, ExitKind.Hypercall],
  [Intercept.TaskSwitch, ALWAYS, 0, VmxExitReason.TaskSwitch, ExitKind.Other],
  [Intercept.Shutdown, ALWAYS, 0, VmxExitReason.TripleFault, ExitKind.Shutdown],
  [Intercept.Hlt, PRIMARY, PrimaryControl.HltExiting, VmxExitReason.Hlt, ExitKind.Hlt],
  [Intercept.Rdtsc, PRIMARY, PrimaryControl.RdtscExiting, VmxExitReason.Rdtsc, ExitKind.Other],
  [Intercept.Invlpg, PRIMARY, PrimaryControl.InvlpgExiting, VmxExitReason.Invlpg, ExitKind.Other],
  [Intercept.Rdpmc, PRIMARY, PrimaryControl.RdpmcExiting, VmxExitReason.Rdpmc, ExitKind.Other],
  [Intercept.Monitor, PRIMARY, PrimaryControl.MonitorExiting, VmxExitReason.Monitor, ExitKind.Other],
  [Intercept.Mwait, PRIMARY, PrimaryControl.MwaitExiting, VmxExitReason.Mwait, ExitKind.Other],
  [Intercept.Pause, PRIMARY, PrimaryControl.PauseExiting, VmxExitReason.Pause, ExitKind.Other],
  [Intercept.Wbinvd, SECONDARY, SecondaryControl.WbinvdExiting, VmxExitReason.Wbinvd, ExitKind.Other],
];
const CONDITION: Int32Array = new Int32Array(INTERCEPTS).fill(-1);
const CONTROL_BIT: Int32Array = new Int32Array(INTERCEPTS);
const REASON: Int32Array = new Int32Array(INTERCEPTS);
const KIND: Int32Array = new Int32Array(INTERCEPTS);
for (const [event, condition, bit, reason, kind] of SINGLE_BIT) {
  CONDITION[event] = condition;
  CONTROL_BIT[event] = bit;
  REASON[event] = reason;
  KIND[event] = kind;
}

const PRIMARY_WORD = wordOf(VmcsField.PrimaryControls);
const SECONDARY_WORD = wordOf(VmcsField.SecondaryControls);
const CR0_TS = 8;
const CR0_NE = 0x20;
/** PG, NE, PE. */
const CR0_FIXED = 0x80000021 | 0;
const CR4_VMXE = 0x2000;

/**
 * The VM-execution controls that decide on instructions, held in the processor while the guest runs. {@link wants}
 * answers and leaves the exit's reason and qualification in the fields.
 */
export class VmxIntercepts {
  reason = 0;
  kind = 0;
  qualificationLo = 0;
  qualificationHi = 0;
  primary = 0;
  secondary = 0;
  /** The next task switch does not exit: see `Vmx.passTaskSwitch`. */
  passesTaskSwitch = false;
  private ioA = 0;
  private ioB = 0;
  private msrs = 0;
  private cr0Mask = 0;
  private cr4Mask = 0;
  private cr0Shadow = 0;
  private cr4Shadow = 0;
  private cr3Targets = 0;
  private readonly cr3Target: Int32Array = new Int32Array(8);
  private pleGap = 0;
  private pleWindow = 0;
  private firstPause = 0;
  private latestPause = 0;
  private readonly memory: PhysicalMemory;
  private readonly ledger: CycleLedger;

  constructor(memory: PhysicalMemory, ledger: CycleLedger) {
    this.memory = memory;
    this.ledger = ledger;
  }

  /** Takes the controls from the VMCS whose first word is `memory[at]`. */
  load(memory: Int32Array, at: number): void {
    const field = (encoding: number): number => memory[at + wordOf(encoding)];
    const address = (encoding: number): number =>
      (field(encoding) >>> 0) + memory[at + wordOf(encoding) + 1] * 0x100000000;
    this.primary = memory[at + PRIMARY_WORD];
    this.secondary = this.primary < 0 ? memory[at + SECONDARY_WORD] : 0;
    this.ioA = address(VmcsField.IoBitmapA);
    this.ioB = address(VmcsField.IoBitmapB);
    this.msrs = address(VmcsField.MsrBitmap);
    this.cr0Mask = field(VmcsField.Cr0Mask);
    this.cr4Mask = field(VmcsField.Cr4Mask);
    this.cr0Shadow = field(VmcsField.Cr0ReadShadow);
    this.cr4Shadow = field(VmcsField.Cr4ReadShadow);
    this.pleGap = field(VmcsField.PleGap) >>> 0;
    this.pleWindow = field(VmcsField.PleWindow) >>> 0;
    this.cr3Targets = field(VmcsField.Cr3TargetCount);
    for (let i = 0; i < 4; i++) {
      const word = at + wordOf(VmcsField.Cr3Target0 + 2 * i);
      this.cr3Target[2 * i] = memory[word];
      this.cr3Target[2 * i + 1] = memory[word + 1];
    }
  }

  /** State of PAUSE-loop exiting as plain data. */
  pauses(): readonly [number, number] {
    return [this.firstPause, this.latestPause];
  }

  restorePauses(pauses: readonly [number, number]): void {
    [this.firstPause, this.latestPause] = pauses;
  }

  /** `GuestRun` bits of a guest under these controls. */
  get run(): number {
    return GuestRun.Running | ((this.primary & PrimaryControl.MonitorTrap) !== 0 ? GuestRun.MonitorTrap : 0);
  }

  /** Whether the bits of CR0 or CR4 that VMX operation fixes are as they must be, where the guest owns them. */
  allowsControl(register: number, value: number): boolean {
    const unrestricted = (this.secondary & SecondaryControl.UnrestrictedGuest) !== 0;
    const fixed = register === 4 ? CR4_VMXE : unrestricted ? CR0_NE : CR0_FIXED;
    const owned = fixed & ~(register === 4 ? this.cr4Mask : this.cr0Mask);
    return (value & owned) === owned;
  }

  /** Bits of CR0 or CR4 in the guest/host mask. */
  ownedControl(register: number): number {
    return register === 4 ? this.cr4Mask : this.cr0Mask;
  }

  /** CR0 or CR4 with the read shadow in place of the bits of the guest/host mask. */
  controlAsRead(register: number, value: number): number {
    const mask = register === 4 ? this.cr4Mask : this.cr0Mask;
    return (value & ~mask) | ((register === 4 ? this.cr4Shadow : this.cr0Shadow) & mask);
  }

  /** @param event an {@link Intercept} number @param info see `GuestMode.interceptInstruction` */
  wants(event: number, info: number, words: Int32Array): boolean {
    this.qualificationLo = 0;
    this.qualificationHi = 0;
    const condition = CONDITION[event];
    if (condition >= 0) {
      const vector = condition === PRIMARY ? this.primary : this.secondary;
      if (condition !== ALWAYS && (vector & CONTROL_BIT[event]) === 0)
        return (
          event === Intercept.Pause &&
          this.loopsInPause(words) &&
          this.want(VmxExitReason.Pause, ExitKind.Other)
        );
      if (event === Intercept.TaskSwitch) {
        if (this.passesTaskSwitch) return this.pass();
        this.qualificationLo = info;
      }
      return this.want(REASON[event], KIND[event]);
    }
    switch (event) {
      case Intercept.VmxInstruction:
        return this.want(info, ExitKind.Other);
      case Intercept.Rdmsr:
      case Intercept.Wrmsr:
        return this.wantsMsr(event === Intercept.Wrmsr, words[State.Gpr + 2]);
      case Intercept.IoRead:
      case Intercept.IoWrite:
        return this.wantsIo(event === Intercept.IoRead, info);
      case Intercept.CrRead:
      case Intercept.CrWrite:
        return this.wantsControlRegister(info, words);
      case Intercept.DrAccess:
        if ((this.primary & PrimaryControl.MovDrExiting) === 0) return false;
        this.qualificationLo =
          (info & 7) |
          (((info >>> 8) & 0xff) === RegisterAccess.MovFrom ? 0x10 : 0) |
          (((info >>> 4) & 15) << 8);
        return this.want(VmxExitReason.DrAccess, ExitKind.Other);
      case Intercept.Rdtscp:
        // Undefined unless enabled; the interpreter asks through CPUID for that.
        if ((this.secondary & SecondaryControl.EnableRdtscp) === 0) return false;
        return (
          (this.primary & PrimaryControl.RdtscExiting) !== 0 &&
          this.want(VmxExitReason.Rdtscp, ExitKind.Other)
        );
      case Intercept.Invpcid:
        if ((this.secondary & SecondaryControl.EnableInvpcid) === 0) return false;
        return (
          (this.primary & PrimaryControl.InvlpgExiting) !== 0 &&
          this.want(VmxExitReason.Invpcid, ExitKind.Other)
        );
      case Intercept.DescriptorTable: {
        if ((this.secondary & SecondaryControl.DescriptorTableExiting) === 0) return false;
        const system = (info & 2) !== 0;
        return this.want(system ? VmxExitReason.LdtrTrAccess : VmxExitReason.GdtrIdtrAccess, ExitKind.Other);
      }
      default:
        return false; // VMMCALL and the SVM instructions are undefined on this vendor
    }
  }

  /**
   * PAUSE-loop exiting (SDM vol. 3, 26.1.3): at CPL 0, a PAUSE within the gap of the one before goes on with the loop,
   * and one that comes later than the window after the loop's first leaves.
   */
  private loopsInPause(words: Int32Array): boolean {
    if ((this.secondary & SecondaryControl.PauseLoopExiting) === 0 || words[State.Cpl] !== 0) return false;
    const now = this.ledger.cycles;
    const sinceLatest = now - this.latestPause;
    this.latestPause = now;
    if (sinceLatest > this.pleGap) {
      this.firstPause = now;
      return false;
    }
    return now - this.firstPause > this.pleWindow;
  }

  private pass(): boolean {
    this.passesTaskSwitch = false;
    return false;
  }

  private want(reason: number, kind: number): boolean {
    this.reason = reason;
    this.kind = kind;
    return true;
  }

  /** SDM vol. 3, 26.1.3; qualification: table 28-3. */
  private wantsControlRegister(info: number, words: Int32Array): boolean {
    const register = info & 15;
    const gpr = (info >>> 4) & 15;
    const access = (info >>> 8) & 0xff;
    if (
      access === RegisterAccess.Smsw ||
      !this.controlRegisterLeaves(register, gpr, access, info >>> 16, words)
    )
      return false;
    this.qualificationLo = register | (access << 4);
    if (access <= RegisterAccess.MovFrom) this.qualificationLo |= gpr << 8;
    if (access === RegisterAccess.Lmsw) this.qualificationLo |= ((info >>> 16) << 16) | (gpr << 6);
    return this.want(VmxExitReason.CrAccess, ExitKind.CrAccess);
  }

  private controlRegisterLeaves(
    register: number,
    gpr: number,
    access: number,
    source: number,
    words: Int32Array,
  ): boolean {
    if (access === RegisterAccess.Clts) return (this.cr0Mask & this.cr0Shadow & CR0_TS) !== 0;
    if (access === RegisterAccess.Lmsw) {
      const changed = (source ^ this.cr0Shadow) & this.cr0Mask & 0xe;
      // LMSW can set PE, never clear it.
      return changed !== 0 || (source & ~this.cr0Shadow & this.cr0Mask & 1) !== 0;
    }
    const read = access === RegisterAccess.MovFrom;
    const value = words[State.Gpr + 2 * gpr];
    switch (register) {
      case 0:
        return !read && ((value ^ this.cr0Shadow) & this.cr0Mask) !== 0;
      case 3:
        if (read) return (this.primary & PrimaryControl.Cr3StoreExiting) !== 0;
        return (
          (this.primary & PrimaryControl.Cr3LoadExiting) !== 0 &&
          !this.isCr3Target(value, words[State.Gpr + 2 * gpr + 1])
        );
      case 4:
        return !read && ((value ^ this.cr4Shadow) & this.cr4Mask) !== 0;
      case 8:
        return (this.primary & (read ? PrimaryControl.Cr8StoreExiting : PrimaryControl.Cr8LoadExiting)) !== 0;
      default:
        return false;
    }
  }

  private isCr3Target(lo: number, hi: number): boolean {
    for (let i = 0; i < this.cr3Targets; i++)
      if (this.cr3Target[2 * i] === lo && this.cr3Target[2 * i + 1] === hi) return true;
    return false;
  }

  /** SDM vol. 3, 26.1.3 and 25.6.4; qualification: table 28-5. */
  private wantsIo(read: boolean, info: number): boolean {
    const port = info & 0xffff;
    const bytes = (info >>> IoInfo.BytesShift) & IoInfo.BytesMask;
    if ((this.primary & PrimaryControl.UseIoBitmaps) !== 0) {
      let wanted = port + bytes > 0x10000; // wraps around: always
      for (let i = 0; i < bytes && !wanted; i++) wanted = this.ioBit(port + i);
      if (!wanted) return false;
    } else if ((this.primary & PrimaryControl.UnconditionalIoExiting) === 0) return false;
    this.qualificationLo =
      (bytes - 1) |
      (read ? 8 : 0) |
      ((info & IoInfo.String) !== 0 ? 16 : 0) |
      ((info & IoInfo.Repeated) !== 0 ? 32 : 0) |
      ((info & IoInfo.Immediate) !== 0 ? 64 : 0) |
      (port << 16);
    return this.want(VmxExitReason.Io, ExitKind.Io);
  }

  private ioBit(port: number): boolean {
    return this.bit(port < 0x8000 ? this.ioA : this.ioB, port & 0x7fff);
  }

  /** SDM vol. 3, 25.6.9: read low, read high, write low, write high, 1 KiB each. */
  private wantsMsr(write: boolean, index: number): boolean {
    const msr = index >>> 0;
    if ((this.primary & PrimaryControl.UseMsrBitmaps) !== 0) {
      const high = msr >= 0xc0000000;
      const number = high ? msr - 0xc0000000 : msr;
      const quarter = (write ? 2 : 0) + (high ? 1 : 0);
      if (number <= 0x1fff && !this.bit(this.msrs, quarter * 8192 + number)) return false;
    }
    return this.want(
      write ? VmxExitReason.Wrmsr : VmxExitReason.Rdmsr,
      write ? ExitKind.Wrmsr : ExitKind.Rdmsr,
    );
  }

  private bit(base: number, number: number): boolean {
    const address = base + (number >>> 3);
    const at = this.memory.frameOffset(Math.floor(address / FRAME_BYTES));
    if (at < 0) return true;
    return ((this.memory.arena.u8[at + (address % FRAME_BYTES)] >>> (number & 7)) & 1) !== 0;
  }
}
