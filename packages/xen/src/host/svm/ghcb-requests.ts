import { ExitKind, emptyVmExit, Segment, SegmentWord, State, SvmExitCode, type VmExit } from "@hyperwalk/cpu";
import { C_BIT, type PhysicalMemory } from "@hyperwalk/mmu";
import { FASTABI_MASK } from "../../abi/fastabi.js";
import type { CpuidPolicy } from "../../cpuid-policy.js";
import type { P2m } from "../../p2m.js";
import { P2mType } from "../../p2m-type.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { GHCB_ANSWER, GHCB_MSR_REQUEST, GHCB_REQUEST } from "../../path-cost/stages/ghcb.js";
import type { Vlapic } from "../../vlapic.js";
import type { EncryptedVcpu } from "../vcpu-control.js";
import {
  GHCB_VERSIONS,
  Ghcb,
  GhcbAnswer,
  GhcbInfo,
  GhcbRefusal,
  HYPERVISOR_SNP,
  PAGE_STATE_EVENT,
  validBit,
} from "./ghcb-layout.js";
import type { PageStateChange } from "./page-state-change.js";

const INFO_MASK = 0xfff;
/** Frames of 64-bit addresses. */
const MAX_GFN = 2 ** 52;
const CR0_PE_PG = 0x80000001 | 0;
const EFER_LMA_LME = 0x500;
const CS_64 = 0xa09b;
const CS_ATTRIBUTES = State.Segments + 8 * Segment.Cs + SegmentWord.Attributes;
const BITMAP = Ghcb.ValidBitmap;

/** GHCB fields that hold general registers: offset, number in encoding order. */
const RAX = { offset: Ghcb.Rax, register: 0 } as const;
const RCX = { offset: Ghcb.Rcx, register: 1 } as const;
const RDX = { offset: Ghcb.Rdx, register: 2 } as const;
const RBX = { offset: Ghcb.Rbx, register: 3 } as const;
const RDI = { offset: Ghcb.Rdi, register: 7 } as const;
/** What a hypercall of either kind may have beside RAX. */
const ARGUMENTS: readonly Field[] = [
  RDI,
  { offset: Ghcb.Rsi, register: 6 },
  RDX,
  { offset: Ghcb.R8, register: 8 },
  { offset: Ghcb.R9, register: 9 },
  { offset: Ghcb.R10, register: 10 },
  { offset: Ghcb.R11, register: 11 },
  { offset: Ghcb.R12, register: 12 },
];
/** FastABI's registers but RAX, which all come back. */
const FASTABI_RESULTS: readonly Field[] = ARGUMENTS.filter((field) => field !== RDX);

interface Field {
  readonly offset: number;
  readonly register: number;
}

/** An event that a guest may ask for: what it must and may bring, and what it gets. */
interface Event {
  readonly kind: number;
  readonly needs: readonly Field[];
  readonly takes: readonly Field[];
  readonly gives: readonly Field[];
}

const CPUID: Event = { kind: ExitKind.Cpuid, needs: [RAX, RCX], takes: [], gives: [RAX, RBX, RCX, RDX] };
const RDMSR: Event = { kind: ExitKind.Rdmsr, needs: [RCX], takes: [], gives: [RAX, RDX] };
const WRMSR: Event = { kind: ExitKind.Wrmsr, needs: [RCX, RAX, RDX], takes: [], gives: [] };
const IN: Event = { kind: ExitKind.Io, needs: [], takes: [RAX], gives: [RAX] };
const OUT: Event = { kind: ExitKind.Io, needs: [RAX], takes: [], gives: [] };
const WBINVD: Event = { kind: ExitKind.Other, needs: [], takes: [], gives: [] };
const VMMCALL: Event = { kind: ExitKind.Hypercall, needs: [RAX], takes: ARGUMENTS, gives: [RAX] };
const FASTABI_CALL: Event = { ...VMMCALL, gives: [RAX, ...FASTABI_RESULTS] };

/** String instructions go through the GHCB's buffer, which is not modelled. */
const IO_STRING = 4;
const IO_SIZES: readonly number[] = [1, 2, 4];

export interface GhcbRequestsOptions {
  readonly vcpuId: number;
  readonly encrypted: EncryptedVcpu;
  readonly p2m: P2m;
  readonly cost: StagePathCost;
  readonly memory: PhysicalMemory;
  readonly cpuid: CpuidPolicy;
  readonly vlapic: Vlapic;
  /** Undefined for an SEV-ES guest, which has one kind of pages. */
  readonly pageState: PageStateChange | undefined;
}

/** What it keeps between two requests. */
export interface GhcbRequestsSnapshot {
  /** Guest frame of the GHCB that an SEV-SNP guest has registered, or -1. */
  readonly registered: number;
}

/**
 * What an SEV-ES or SEV-SNP guest asks for by VMGEXIT: the fields of its GHCB become the registers that Xen's handlers work on, and
 * their results go back, each with its bit. The page is shared memory, so everything in it may be anything.
 */
export class GhcbRequests {
  /** After {@link open}: why the domain ends, or empty. */
  fatal = "";
  private readonly options: GhcbRequestsOptions;
  private readonly exit: VmExit = emptyVmExit();
  private readonly requestStage: number;
  private readonly answerStage: number;
  private readonly msrStage: number;
  /** Machine frame of the GHCB, referenced while a request is open. */
  private frame = -1;
  private event: Event = WBINVD;
  /** Guest frame that an SEV-SNP guest has registered. */
  private registered = -1;
  /** The bitmap as the guest left it. */
  private readonly valid = new Int32Array(4);

  constructor(options: GhcbRequestsOptions) {
    const { cost } = options;
    this.options = options;
    this.requestStage = cost.compile(GHCB_REQUEST);
    this.answerStage = cost.compile(GHCB_ANSWER);
    this.msrStage = cost.compile(GHCB_MSR_REQUEST);
  }

  /** @returns the exit to handle, then {@link close}; undefined when it is answered already, or {@link fatal} */
  open(): VmExit | undefined {
    const { encrypted, cost, p2m, pageState } = this.options;
    this.fatal = "";
    const { ghcbLo: lo, ghcbHi: hi } = encrypted;
    if ((lo & INFO_MASK) !== GhcbInfo.Address) {
      cost.run(this.msrStage);
      this.byMsr(lo, hi);
      return undefined;
    }
    const gfn = (lo >>> 12) + (hi >>> 0) * 0x100000;
    if (pageState !== undefined && gfn !== this.registered) {
      this.fatal = `VMGEXIT with a GHCB at frame 0x${gfn.toString(16)}, which is not registered`;
      return undefined;
    }
    const frame = p2m.lookupForWriting(gfn);
    if (frame < 0 || p2m.type !== P2mType.RamRw) {
      if (frame >= 0) p2m.putPage(frame);
      const what = pageState === undefined ? "RAM" : "shared RAM";
      this.fatal = `VMGEXIT with no ${what} at the GHCB's frame 0x${gfn.toString(16)}`;
      return undefined;
    }
    this.frame = frame;
    cost.run(this.requestStage);
    for (let i = 0; i < 4; i++) this.valid[i] = this.word(BITMAP + 4 * i);
    if (pageState !== undefined && this.asksFor(PAGE_STATE_EVENT)) {
      this.changePages(pageState);
      return undefined;
    }
    const refusal = this.takeRequest();
    if (refusal === 0) return this.exit;
    this.answer(GhcbAnswer.Refused, refusal, 0);
    return undefined;
  }

  snapshot(): GhcbRequestsSnapshot {
    return { registered: this.registered };
  }

  restore({ registered }: GhcbRequestsSnapshot): void {
    if (!Number.isInteger(registered) || registered < -1 || registered >= MAX_GFN)
      throw new RangeError(`a GHCB at guest frame ${registered}`);
    this.registered = registered;
  }

  /** Results of the request into the GHCB. */
  close(): void {
    const { registers } = this.options.encrypted;
    registers.inRequest = false;
    if (registers.exception !== 0) {
      this.answer(GhcbAnswer.Exception, registers.exception, registers.exceptionError);
      return;
    }
    const { gives } = this.event;
    for (let i = 0; i < 4; i++) this.valid[i] = 0;
    for (let i = 0; i < gives.length; i++) {
      const { offset, register } = gives[i];
      this.setWord(offset, registers.lo(register));
      this.setWord(offset + 4, registers.hi(register));
      const { word, bit } = validBit(offset);
      this.valid[word] |= bit;
    }
    for (let i = 0; i < 4; i++) this.setWord(BITMAP + 4 * i, this.valid[i]);
    this.answer(GhcbAnswer.Done, 0, 0);
  }

  private asksFor(event: number): boolean {
    return (
      this.has(Ghcb.SwExitCode) &&
      this.word(Ghcb.SwExitCode) === event &&
      this.word(Ghcb.SwExitCode + 4) === 0
    );
  }

  /** A list of pages, in the GHCB itself. What is left of it when Xen has done enough at once, the guest asks for again. */
  private changePages(pageState: PageStateChange): void {
    const { ghcbLo } = this.options.encrypted;
    const refusal =
      !this.has(Ghcb.SwScratch) || !this.has(Ghcb.SwExitInfo1) || !this.has(Ghcb.SwExitInfo2)
        ? GhcbRefusal.MissingInput
        : 0;
    const at = (this.word(Ghcb.SwScratch) - ghcbLo) | 0;
    const inside =
      this.word(Ghcb.SwScratch + 4) === this.options.encrypted.ghcbHi &&
      at >= Ghcb.SharedBuffer &&
      at < Ghcb.SharedBufferEnd &&
      at % 8 === 0;
    if (refusal !== 0 || !inside) {
      this.answer(GhcbAnswer.Refused, refusal || GhcbRefusal.InvalidScratch, 0);
      return;
    }
    const error = pageState.changeList(
      Ghcb.SharedBufferEnd - at,
      (offset) => this.word(at + offset),
      (offset, value) => this.setWord(at + offset, value),
    );
    this.answer(GhcbAnswer.Done, error, error === 0 ? 0 : 1);
  }

  /** Event and registers. @returns a {@link GhcbRefusal}, or 0 */
  private takeRequest(): number {
    const { exit } = this;
    const code = this.word(Ghcb.SwExitCode);
    if (
      !this.has(Ghcb.SwExitCode) ||
      !this.has(Ghcb.SwExitInfo1) ||
      !this.has(Ghcb.SwExitInfo2) ||
      this.word(Ghcb.SwExitCode + 4) !== 0
    )
      return GhcbRefusal.MissingInput;
    const info = this.word(Ghcb.SwExitInfo1);
    const event = this.eventOf(code, info);
    if (event === undefined) return GhcbRefusal.InvalidEvent;
    if (event.kind === ExitKind.Io && ((info & IO_STRING) !== 0 || !IO_SIZES.includes((info >>> 4) & 7)))
      return GhcbRefusal.InvalidInput;
    const isCall = event.kind === ExitKind.Hypercall;
    if (!event.needs.every(({ offset }) => this.has(offset)) || (isCall && !this.has(Ghcb.Cpl)))
      return GhcbRefusal.MissingInput;
    this.event = event;
    this.takeRegisters(event);
    exit.kind = event.kind;
    exit.code = code;
    exit.info1Lo = info;
    exit.info1Hi = this.word(Ghcb.SwExitInfo1 + 4);
    exit.info2Lo = this.word(Ghcb.SwExitInfo2);
    exit.info2Hi = this.word(Ghcb.SwExitInfo2 + 4);
    return 0;
  }

  private eventOf(code: number, info: number): Event | undefined {
    switch (code) {
      case SvmExitCode.Vmmcall:
        return (this.word(Ghcb.Rax) & FASTABI_MASK) !== 0 ? FASTABI_CALL : VMMCALL;
      case SvmExitCode.Cpuid:
        return CPUID;
      case SvmExitCode.Msr:
        return info === 0 ? RDMSR : WRMSR;
      case SvmExitCode.Ioio:
        return (info & 1) !== 0 ? IN : OUT;
      case SvmExitCode.Wbinvd:
        return WBINVD;
      default:
        return undefined;
    }
  }

  /** Xen knows nothing else of the guest: that it runs 64-bit code is taken for granted, its CPL is what it says. */
  private takeRegisters({ needs, takes }: Event): void {
    const { registers } = this.options.encrypted;
    const { words } = registers;
    words.fill(0, State.Gpr, State.Gpr + 32);
    for (const fields of [needs, takes])
      for (const { offset, register } of fields)
        if (this.has(offset)) registers.set(register, this.word(offset), this.word(offset + 4));
    words[State.Cr0] = CR0_PE_PG;
    words[State.EferLo] |= EFER_LMA_LME;
    words[CS_ATTRIBUTES] = CS_64;
    words[State.Cpl] = this.has(Ghcb.Cpl) ? (this.word(Ghcb.Cpl & ~3) >>> 24) & 3 : 0;
    registers.inRequest = true;
    registers.exception = 0;
  }

  /** SW_EXITINFO1 and 2, and the GHCB is the guest's again. */
  private answer(kind: number, lo: number, hi: number): void {
    this.options.cost.run(this.answerStage);
    this.setWord(Ghcb.SwExitInfo1, kind);
    this.setWord(Ghcb.SwExitInfo1 + 4, 0);
    this.setWord(Ghcb.SwExitInfo2, lo);
    this.setWord(Ghcb.SwExitInfo2 + 4, hi);
    this.options.p2m.putPage(this.frame);
    this.frame = -1;
  }

  /** The MSR protocol: what a guest asks before it has a GHCB, and how it ends without one. */
  private byMsr(lo: number, hi: number): void {
    const { encrypted, pageState } = this.options;
    if (pageState !== undefined && this.aboutPages(pageState, lo, hi)) return;
    switch (lo & INFO_MASK) {
      case GhcbInfo.SevInfoRequest:
        encrypted.setGhcb(SEV_INFO_LO, SEV_INFO_HI);
        break;
      case GhcbInfo.CpuidRequest:
        encrypted.setGhcb((lo & 0xc0000000) | GhcbInfo.CpuidResponse, this.cpuidRegister(hi, lo >>> 30));
        break;
      case GhcbInfo.PreferredAddressRequest:
        encrypted.setGhcb(~INFO_MASK | GhcbInfo.PreferredAddressResponse, -1); // none
        break;
      case GhcbInfo.FeaturesRequest:
        encrypted.setGhcb(
          ((pageState === undefined ? 0 : HYPERVISOR_SNP) << 12) | GhcbInfo.FeaturesResponse,
          0,
        );
        break;
      case GhcbInfo.TerminationRequest:
        this.fatal = `the guest asked to be terminated (reason set ${(lo >>> 12) & 15}, reason ${(lo >>> 16) & 0xff})`;
        break;
      default:
        this.fatal = `VMGEXIT with GHCBInfo 0x${(lo & INFO_MASK).toString(16)}, which is no request`;
    }
  }

  /** Requests that SEV-SNP guests alone have. @returns whether it was one */
  private aboutPages(pageState: PageStateChange, lo: number, hi: number): boolean {
    const { encrypted, p2m } = this.options;
    const gfn = (lo >>> 12) + (hi & 0xfffff) * 0x100000;
    switch (lo & INFO_MASK) {
      case GhcbInfo.RegisterRequest: {
        const wide = (lo >>> 12) + (hi >>> 0) * 0x100000;
        const isThere = p2m.queryType(wide) === P2mType.RamRw;
        this.registered = isThere ? wide : -1;
        encrypted.setGhcb(
          (isThere ? lo & ~INFO_MASK : ~INFO_MASK) | GhcbInfo.RegisterResponse,
          isThere ? hi : -1,
        );
        return true;
      }
      case GhcbInfo.PageStateRequest:
        encrypted.setGhcb(GhcbInfo.PageStateResponse, pageState.change(gfn, (hi >>> 20) & 15));
        return true;
      default:
        return false;
    }
  }

  private cpuidRegister(leaf: number, register: number): number {
    const { cpuid, vlapic, vcpuId } = this.options;
    cpuid.query(leaf, 0, vcpuId, 0);
    vlapic.showIn(leaf, cpuid.result);
    return cpuid.result[register];
  }

  private has(offset: number): boolean {
    const { word, bit } = validBit(offset);
    return (this.valid[word] & bit) !== 0;
  }

  private word(offset: number): number {
    const at = this.options.cost.access(this.frame, offset, 4, false);
    return this.options.memory.arena.i32[at >> 2];
  }

  private setWord(offset: number, value: number): void {
    const at = this.options.cost.access(this.frame, offset, 4, true);
    this.options.memory.arena.i32[at >> 2] = value;
  }
}

/** The answer to SevInfoRequest, and the MSR's value at the guest's start. */
export const SEV_INFO_LO: number = (C_BIT << 24) | GhcbInfo.SevInfo;
export const SEV_INFO_HI: number = (GHCB_VERSIONS.most << 16) | GHCB_VERSIONS.least;
