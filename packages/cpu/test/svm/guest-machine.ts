import {
  Arena,
  Ept,
  EptTables,
  LongModeTables,
  NptTables,
  PagingMode,
  PhysicalMemory,
  Pte,
  type TranslationContext,
} from "@hyperwalk/mmu";
import type { VmExit } from "../../src/hardware-virtualization.js";
import { DIRECTMAP_HI } from "../../src/host-lines.js";
import { Processor } from "../../src/processor.js";
import { epyc9124, skylakeSp } from "../../src/profiles/index.js";
import { General1, General2, Svm, VmcbOffset } from "../../src/svm/index.js";
import {
  adjustControls,
  CAPABILITIES,
  EntryControl,
  ExitControl,
  ExtendedPageTableTags,
  PinControl,
  PrimaryControl,
  SecondaryControl,
  VmcsField,
  Vmx,
} from "../../src/vmx/index.js";

const GUEST_FRAMES = 512;
const FIRST_GUEST_FRAME = 1024;
/** Guest-physical layout: code at 1000h, IDT at 3000h, GDT at 4000h, stack below 9000h, tables from 10000h. */
export const CODE = 0x1000;
export const IDT = 0x3000;
export const GDT = 0x4000;
export const STACK = 0x9000;
const TABLES = 0x10;
const CONTROL_FRAME = 100;
const GDT_ENTRIES = [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn];
const VECTORS = 32;
/** Interrupt handlers: one HLT each, so that the vector can be told from RIP. */
export const HANDLERS = 0x2000;

/** A real processor that runs a 64-bit ring-0 guest with identity-mapped tables under a second stage. */
export class GuestMachine {
  readonly processor: Processor;
  readonly hardware: Svm | Vmx;
  readonly host: TranslationContext;
  private next = 1;
  private nextGuest = TABLES;

  constructor(vendor: "amd" | "intel", code: readonly number[]) {
    const memory = new PhysicalMemory(new Arena());
    memory.addRam(0, FIRST_GUEST_FRAME + GUEST_FRAMES);
    this.processor = new Processor({ memory, profile: vendor === "amd" ? epyc9124 : skylakeSp });
    const allocate = () => this.next++;
    const hostTables = new LongModeTables({ memory, allocate });
    hostTables.map((DIRECTMAP_HI >>> 0) * 2 ** 20, 0, "1g", Pte.Present | Pte.Write);
    this.host = this.processor.mmu.createContext();
    this.host.paging = PagingMode.FourLevel;
    this.host.rootFrame = hostTables.rootFrame;
    const guestTables = new LongModeTables({
      memory,
      allocate: () => this.nextGuest++,
      locate: (frame) => FIRST_GUEST_FRAME + frame,
    });
    guestTables.mapRange(0, 0, GUEST_FRAMES, "4k", Pte.Present | Pte.Write);
    this.write(CODE, code);
    this.writeDescriptors();
    if (vendor === "amd") {
      const npt = new NptTables({ memory, allocate });
      npt.mapRange(0, FIRST_GUEST_FRAME, GUEST_FRAMES, "4k", Pte.Present | Pte.Write | Pte.User);
      const svm = new Svm(this.processor, { vmcbFrame: CONTROL_FRAME, host: this.host });
      fillVmcb(svm, npt.rootFrame, guestTables.rootFrame);
      this.hardware = svm;
    } else {
      const ept = new EptTables({ memory, allocate });
      ept.mapRange(0, FIRST_GUEST_FRAME, GUEST_FRAMES, "4k", Ept.All | Ept.WriteBack);
      const eptTags = new ExtendedPageTableTags();
      const vmx = new Vmx(this.processor, { vmcsFrame: CONTROL_FRAME, host: this.host, eptTags });
      fillVmcs(vmx, ept.rootFrame, guestTables.rootFrame);
      this.hardware = vmx;
    }
  }

  get svm(): Svm {
    return this.hardware as Svm;
  }

  get vmx(): Vmx {
    return this.hardware as Vmx;
  }

  /** Bytes to guest-physical memory. */
  write(address: number, bytes: readonly number[]): void {
    this.processor.memory.writeBytes(FIRST_GUEST_FRAME * 4096 + address, new Uint8Array(bytes));
  }

  readU64(address: number): bigint {
    return this.processor.memory.readU64(FIRST_GUEST_FRAME * 4096 + address);
  }

  enter(): VmExit {
    return { ...this.hardware.enter(1000, Number.MAX_SAFE_INTEGER) };
  }

  private writeDescriptors(): void {
    const { memory } = this.processor;
    const base = FIRST_GUEST_FRAME * 4096;
    for (const [i, entry] of GDT_ENTRIES.entries()) memory.writeU64(base + GDT + 8 * i, entry);
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = HANDLERS + 16 * vector;
      this.write(handler, [0xf4]);
      memory.writeU64(base + IDT + 16 * vector, BigInt(handler) | (8n << 16n) | (0x8en << 40n));
      memory.writeU64(base + IDT + 16 * vector + 8, 0n);
    }
  }
}

function fillVmcb(svm: Svm, nestedRoot: number, root: number): void {
  const { vmcb } = svm;
  vmcb.set(
    VmcbOffset.General1Intercepts,
    (1 << General1.Intr) | (1 << General1.Cpuid) | (1 << General1.Hlt) | (1 << General1.Shutdown),
  );
  vmcb.set(VmcbOffset.General2Intercepts, (1 << General2.Vmrun) | (1 << General2.Vmmcall));
  vmcb.set(VmcbOffset.Asid, 1);
  vmcb.set(VmcbOffset.NestedControl, 1);
  vmcb.set64(VmcbOffset.NCr3, nestedRoot * 4096, 0);
  vmcb.setSegment(VmcbOffset.Cs, 8, 0xa9b, -1, 0, 0);
  for (const at of [VmcbOffset.Es, VmcbOffset.Ss, VmcbOffset.Ds]) vmcb.setSegment(at, 16, 0xc93, -1, 0, 0);
  vmcb.setSegment(VmcbOffset.Gdtr, 0, 0, 23, GDT, 0);
  vmcb.setSegment(VmcbOffset.Idtr, 0, 0, 16 * VECTORS - 1, IDT, 0);
  vmcb.set64(VmcbOffset.Efer, 0x1500, 0);
  vmcb.set64(VmcbOffset.Cr0, 0x80010031 | 0, 0);
  vmcb.set64(VmcbOffset.Cr3, root * 4096, 0);
  vmcb.set64(VmcbOffset.Cr4, 0x20, 0);
  vmcb.set64(VmcbOffset.Dr6, 0xffff0ff0 | 0, 0);
  vmcb.set64(VmcbOffset.Dr7, 0x400, 0);
  vmcb.set64(VmcbOffset.Rflags, 2, 0);
  vmcb.set64(VmcbOffset.Rip, CODE, 0);
  vmcb.set64(VmcbOffset.Rsp, STACK, 0);
}

function fillVmcs(vmx: Vmx, eptRoot: number, root: number): void {
  const values: readonly (readonly [keyof typeof VmcsField, number, number?])[] = [
    ["PinBasedControls", adjustControls(PinControl.ExternalInterruptExiting, CAPABILITIES.pin)],
    [
      "PrimaryControls",
      adjustControls(PrimaryControl.Secondary | PrimaryControl.HltExiting, CAPABILITIES.primary),
    ],
    [
      "SecondaryControls",
      SecondaryControl.EnableEpt | SecondaryControl.EnableVpid | SecondaryControl.UnrestrictedGuest,
    ],
    [
      "ExitControls",
      adjustControls(
        ExitControl.HostAddressSpaceSize |
          ExitControl.SaveEfer |
          ExitControl.LoadEfer |
          ExitControl.SaveDebugControls,
        CAPABILITIES.exit,
      ),
    ],
    [
      "EntryControls",
      adjustControls(
        EntryControl.LoadEfer | EntryControl.Ia32eModeGuest | EntryControl.LoadDebugControls,
        CAPABILITIES.entry,
      ),
    ],
    ["Vpid", 1],
    ["EptPointer", eptRoot * 4096 + 0x1e],
    ["VmcsLinkPointer", -1, -1],
    ["Cr4Mask", 0x2000],
    ["GuestCr0", 0x80010031 | 0],
    ["GuestCr3", root * 4096],
    ["GuestCr4", 0x2020],
    ["GuestEfer", 0x500],
    ["GuestDr7", 0x400],
    ["GuestRflags", 2],
    ["GuestRip", CODE],
    ["GuestRsp", STACK],
    ["GuestCsSelector", 8],
    ["GuestCsAccessRights", 0xa09b],
    ["GuestCsLimit", -1],
    ["GuestLdtrAccessRights", 0x10000],
    ["GuestTrAccessRights", 0x8b],
    ["GuestTrLimit", 0x67],
    ["GuestGdtrLimit", 23],
    ["GuestGdtrBase", GDT],
    ["GuestIdtrLimit", 16 * VECTORS - 1],
    ["GuestIdtrBase", IDT],
    ["HostCr0", 0x80050033 | 0],
    ["HostCr4", 0x20a0],
    ["HostEfer", 0xd01],
    ["HostCsSelector", 0xe008],
    ["HostTrSelector", 0xe040],
  ];
  for (const [name, lo, hi] of values) vmx.vmcs.write(VmcsField[name], lo, hi ?? 0);
  for (const name of ["Es", "Ss", "Ds", "Fs", "Gs"] as const) {
    vmx.vmcs.write(VmcsField[`Guest${name}Selector`], 16);
    vmx.vmcs.write(VmcsField[`Guest${name}AccessRights`], 0xc093);
    vmx.vmcs.write(VmcsField[`Guest${name}Limit`], -1);
  }
}
