import { EventInfo, EventKind, type MmioDevice, State, type VmExit } from "@hyperwalk/cpu";
import { FRAME_BYTES } from "@hyperwalk/mmu";
import type { Domain } from "../../domain.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { SIMPLE_EXIT } from "../../path-cost/stages/dispatch.js";
import { SHADOW_EMULATE_WRITE } from "../../path-cost/stages/shadow.js";
import { ShadowFault, type ShadowPaging } from "../../shadow/shadow-paging.js";
import { GuestCodeMode } from "../guest-registers.js";
import { type ShadowControl, ShadowExit, ShadowExitKind } from "../shadow-control.js";
import type { MmioExits } from "./mmio-exits.js";

const CR0_PE = 1;
const CR0_TS = 8;
/** MP, EM, TS, which LMSW loads; PE it only sets. */
const LMSW_LOADED = 0xe;
/** Operand size, address size, segments, LOCK and repetitions. */
const PREFIXES: readonly number[] = [0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0, 0xf2, 0xf3];
const VECTOR_DF = 8;
const VECTOR_GP = 13;
const VECTOR_PF = 14;
const DROPS: MmioDevice = { load: () => -1, store: () => {} };

/** Page faults that a shadow-paged guest leaves for. */
export class ShadowExits {
  /** Why the domain crashes, or empty. */
  problem = "";
  private readonly shadow: ShadowPaging;
  private readonly control: ShadowControl;
  private readonly domain: Domain;
  private readonly mmio: MmioExits;
  private readonly cost: StagePathCost;
  private readonly exit = new ShadowExit();
  /** RIP and page of the latest instruction that could not be carried out, so that it does not fault for ever. */
  private failedRip = "";

  constructor(
    shadow: ShadowPaging,
    control: ShadowControl,
    domain: Domain,
    mmio: MmioExits,
    cost: StagePathCost,
  ) {
    this.shadow = shadow;
    this.control = control;
    this.domain = domain;
    this.mmio = mmio;
    this.cost = cost;
  }

  /** Is an exit one that shadow paging asked for? */
  owns(exit: VmExit): boolean {
    this.control.describeShadowExit(exit, this.exit);
    return this.exit.kind !== ShadowExitKind.None;
  }

  /**
   * After {@link owns}.
   * @returns bytes of the instruction that was carried out for the guest, 0 when it goes on where it is
   */
  handle({ instructionLength }: VmExit): number {
    const { shadow, cost, control, exit } = this;
    if (exit.kind === ShadowExitKind.PageFault) return this.pageFault();
    cost.run(cost.compile(SIMPLE_EXIT));
    if (exit.kind === ShadowExitKind.TaskSwitch) {
      this.problem = "a task switch, which shadow paging does not carry out";
      return 0;
    }
    if (exit.kind === ShadowExitKind.Invlpg) {
      shadow.invlpg(exit.lo, exit.hi);
      return instructionLength;
    }
    const done = this.controlAccess();
    if (!control.runsRealMode && (shadow.guest.words[State.Cr0] & CR0_PE) === 0)
      this.problem =
        "real mode, which VMX leaves to an emulator where there are no unrestricted guests: shadow paging has none";
    if (this.problem !== "") return 0;
    if (!done) control.registers.injectException(VECTOR_GP, 0);
    return done ? instructionLength : 0;
  }

  /** @returns false for #GP(0) */
  private controlAccess(): boolean {
    const { control, shadow, exit } = this;
    const { registers } = control;
    const { words } = shadow.guest;
    const { register, gpr } = exit;
    const long = registers.mode === GuestCodeMode.Long;
    switch (exit.kind) {
      case ShadowExitKind.Undecoded:
        return this.cr0Instruction();
      case ShadowExitKind.Clts:
        return shadow.setCr0(words[State.Cr0] & ~CR0_TS, 0, long);
      case ShadowExitKind.Lmsw:
        return this.lmsw(exit.source);
      case ShadowExitKind.Read: {
        const lo = register === 0 ? words[State.Cr0] : register === 3 ? words[State.Cr3Lo] : words[State.Cr4];
        registers.set(gpr, lo, long && register === 3 ? words[State.Cr3Hi] : 0);
        return true;
      }
      default: {
        const lo = registers.lo(gpr);
        const hi = long ? registers.hi(gpr) : 0;
        if (register === 0) return shadow.setCr0(lo, hi, long);
        return register === 3 ? shadow.setCr3(lo, hi) : shadow.setCr4(lo, hi);
      }
    }
  }

  private lmsw(source: number): boolean {
    const { shadow, control } = this;
    const cr0 = shadow.guest.words[State.Cr0];
    const next = (cr0 & ~LMSW_LOADED) | (source & (LMSW_LOADED | CR0_PE));
    return shadow.setCr0(next, 0, control.registers.mode === GuestCodeMode.Long);
  }

  /** CLTS, and LMSW and SMSW of a register, by the instruction's bytes. */
  private cr0Instruction(): boolean {
    const { mmio, control, shadow } = this;
    const { registers } = control;
    const bytes = mmio.code;
    let at = 0;
    while (PREFIXES.includes(bytes[at]) || (bytes[at] & 0xf0) === 0x40) at++;
    const rex = at > 0 && (bytes[at - 1] & 0xf0) === 0x40 ? bytes[at - 1] : 0;
    const cr0 = shadow.guest.words[State.Cr0];
    const long = registers.mode === GuestCodeMode.Long;
    if (bytes[at] === 0x0f && bytes[at + 1] === 0x06) return shadow.setCr0(cr0 & ~CR0_TS, 0, long);
    const modrm = bytes[at + 2];
    const gpr = (modrm & 7) | ((rex & 1) << 3);
    const operation = (modrm >> 3) & 7;
    if (bytes[at] === 0x0f && bytes[at + 1] === 0x01 && modrm >= 0xc0) {
      if (operation === 6) return this.lmsw(registers.lo(gpr));
      if (operation === 4) {
        registers.set(gpr, cr0, 0);
        return true;
      }
    }
    this.problem = "LMSW or SMSW with an operand in memory, which shadow paging does not carry out";
    return false;
  }

  private pageFault(): number {
    const { shadow, control } = this;
    const { registers } = control;
    const { errorCode: code, lo, hi } = this.exit;
    const event = control.eventInDelivery;
    switch (shadow.pageFault(code, lo, hi, registers.rflags)) {
      case ShadowFault.Guest:
        this.injectFault(event, lo, hi);
        return 0;
      case ShadowFault.Mmio:
        if (event >= 0 && this.mmio.carryOut(shadow.gfn, lo & 4095)) return this.mmio.length;
        registers.injectException(VECTOR_GP, 0);
        return 0;
      case ShadowFault.Refused:
        this.problem = `guest frame 0x${shadow.gfn.toString(16)} is away, shared or watched, which shadow paging does not model`;
        return 0;
      case ShadowFault.Dropped:
        return this.carryOut(DROPS, shadow.gfn, lo & 4095);
      case ShadowFault.Write:
        return this.carryOut(this.page(shadow.gfn, lo & 4095), shadow.gfn, lo & 4095);
      default:
        control.repeatEvent(event);
        return 0;
    }
  }

  private carryOut(device: MmioDevice, gfn: number, offset: number): number {
    const { cost, shadow, control, mmio } = this;
    cost.run(cost.compile(SHADOW_EMULATE_WRITE));
    if (control.eventInDelivery >= 0 && mmio.carryOutOn(device, offset)) {
      this.failedRip = "";
      return mmio.length;
    }
    const rip = `${control.registers.rip} ${gfn}`;
    if (rip === this.failedRip || !shadow.unshadow(gfn))
      this.problem = `the instruction writes to a page table that maps it, or against CR0.WP, and is none that shadow paging carries out`;
    this.failedRip = rip;
    control.repeatEvent(control.eventInDelivery);
    return 0;
  }

  /** The guest's page as what an instruction stores to. */
  private page(gfn: number, _offset: number): MmioDevice {
    const { domain, cost, shadow } = this;
    const { p2m, guestMemory } = domain;
    return {
      load: (offset, bytes) => {
        const at = guestMemory.readBytes(gfn * FRAME_BYTES + offset, bytes);
        return at.reduce((value, byte, i) => value | (byte << (8 * i)), 0);
      },
      store: (offset, bytes, value) => {
        const mfn = p2m.translate(gfn);
        cost.access(mfn, offset & 4095, bytes, true);
        guestMemory.writeBytes(
          gfn * FRAME_BYTES + offset,
          Uint8Array.from({ length: bytes }, (_, i) => value >>> (8 * i)),
        );
        shadow.written(gfn, offset, bytes);
      },
    };
  }

  /** A page fault of the guest's own, after whatever was just being delivered (`hvm_combine_hw_exceptions`). */
  private injectFault(event: number, lo: number, hi: number): void {
    const { control, shadow } = this;
    const exception = event < 0 && ((event >>> EventInfo.KindShift) & 7) === EventKind.HardwareException;
    const vector = exception ? event & 0xff : -1;
    if (vector === VECTOR_DF) this.problem = "triple fault";
    else if (vector === VECTOR_PF) control.registers.injectException(VECTOR_DF, 0);
    else control.injectPageFault(shadow.errorCode, lo, hi);
  }
}
