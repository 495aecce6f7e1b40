import { type ArmProfile, type ArmTiming, type ProfileEstimate, resolveArmProfile } from "@hyperwalk/cpu";
import {
  Arena,
  ArmMmu,
  ArmStage1,
  type ArmStage1Context,
  ArmStage1Tables,
  Cause,
  CycleLedger,
  InnerShareable,
  type PageSizeName,
  PhysicalMemory,
} from "@hyperwalk/mmu";
import { type ArmCopyResult, copyByIpa, copyByVa } from "./arm-guest-copy.js";
import {
  DIRECTMAP_VIRT_START,
  FRAME_TABLE,
  FRAMETABLE_VIRT_START,
  GUEST_BUFFER,
  GUEST_RAM,
  GUEST_RAM_MACHINE,
  GUEST_TABLES,
  guestLinear,
  MACHINE_FRAMES,
  PAGE_INFO_BYTES,
  XEN_IMAGE,
  XEN_IMAGE_FRAMES,
  XEN_TABLES,
  XEN_VIRT_START,
} from "./arm-layout.js";
import { ArmP2m } from "./arm-p2m.js";
import { ArmPathCost, type FormBounds } from "./arm-path-cost.js";
import { ArmPhase } from "./arm-stage.js";
import { HYPERCALL_ENTRY, HYPERCALL_EXIT, OPERATION } from "./arm-stages.js";
import type { CopyPath } from "./copy-step.js";

/** Whose address a hypercall's buffer has: virtual, or (intermediate) physical. */
export type ArmForm = "va" | "pa";

/** Everything but the profile has a default. */
export interface ArmSystemOptions {
  readonly profile: ArmProfile;
  /** Leaves of the guest's stage 1: default 4k. */
  readonly stage1?: PageSizeName;
  /** Leaves of the p2m: default 4k. */
  readonly stage2?: PageSizeName;
  /** Bits of a virtual address, 39 to 48: default 48. */
  readonly vaBits?: number;
  /** Bits of an intermediate physical address, 32 to 48; default what the processor has, as Xen chooses. */
  readonly ipaBits?: number;
  /** Processing elements, each with caches of its own: 1 (default) to 4. */
  readonly elements?: number;
  /** Ends of the ranges that stages' instructions are taken from: default their values. */
  readonly bounds?: FormBounds;
}

/** One processing element. */
export interface ArmElement {
  readonly mmu: ArmMmu;
  readonly ledger: CycleLedger;
  readonly cost: ArmPathCost;
}

const NORMAL = ArmStage1.Normal | ArmStage1.InnerShareable | ArmStage1.AccessFlag;
const DATA = NORMAL | ArmStage1.PrivilegedExecuteNever | ArmStage1.UserExecuteNever;
const VMID = 1;
const ASID = 1;
/** Pages mapped one by one around the guest's buffer where leaves are of 4 KiB. */
const SMALL_PAGES = 1024;

/**
 * A machine with Xen on Arm and one guest: Xen's own tables at EL2, the domain's p2m, the guest's tables in its own
 * memory. The guest is not executed: its calls begin at HVC. Everything is in simulated memory, behind the caches and
 * TLBs of the processing element that touches it.
 */
export class ArmSystem {
  readonly memory: PhysicalMemory;
  readonly elements: readonly ArmElement[];
  readonly domain: InnerShareable;
  readonly p2m: ArmP2m;
  /** The guest's stage 1 tables, by offset in its linear map. */
  readonly guestTables: ArmStage1Tables;
  readonly stage1: ArmStage1Context;
  readonly vaBits: number;
  readonly timing: ArmTiming;

  constructor(options: ArmSystemOptions) {
    const profile = resolveArmProfile(options.profile);
    const { stage1 = "4k", stage2 = "4k", vaBits = 48, elements = 1 } = options;
    const ipaBits = options.ipaBits ?? profile.memory.physicalAddressBits;
    if (!Number.isInteger(elements) || elements < 1 || elements > 4)
      throw new RangeError(`elements: ${elements}; allowed: 1 to 4`);
    if (!Number.isInteger(vaBits) || vaBits < 39 || vaBits > 48)
      throw new RangeError(`vaBits: ${vaBits}; allowed: 39 to 48`);
    if (!Number.isInteger(ipaBits) || ipaBits < 32 || ipaBits > profile.memory.physicalAddressBits)
      throw new RangeError(`ipaBits: ${ipaBits}; allowed: 32 to ${profile.memory.physicalAddressBits}`);
    this.timing = profile.timing;
    this.vaBits = vaBits;
    const arena = new Arena();
    this.memory = new PhysicalMemory(arena);
    this.memory.addRam(0, MACHINE_FRAMES);
    const bounds = options.bounds ?? { va: "value", pa: "value" };
    this.elements = Array.from({ length: elements }, (_, number) => {
      const ledger = new CycleLedger(arena, "guest");
      const { memory, ipaCacheSmallest } = profile;
      const mmu = new ArmMmu({
        memory: this.memory,
        ledger,
        profile: memory,
        seed: number + 1,
        ipaCacheSmallest,
      });
      return { mmu, ledger, cost: new ArmPathCost(mmu, profile.timing, number, bounds) };
    });
    this.domain = new InnerShareable(this.elements.map(({ mmu }) => mmu));
    this.p2m = new ArmP2m(this.memory, ipaBits);
    this.mapGuestRam(stage2);
    this.guestTables = this.mapGuest(stage1, vaBits);
    const host = this.mapXen();
    const base = { rootFrame: this.guestTables.rootFrame, inputBits: vaBits };
    this.stage1 = { enabled: true, lower: null, upper: base, asid: ASID, outputBits: ipaBits };
    const { rootFrame, startLevel } = this.p2m.tables;
    for (const { mmu } of this.elements) {
      mmu.setHost({ rootFrame: host, inputBits: 48 });
      mmu.setGuest(this.stage1, { rootFrame, ipaBits, startLevel, vmid: VMID });
    }
  }

  /** Address of the guest's buffer in a form, `offset` bytes in. */
  bufferAddress(form: ArmForm, offset: number): bigint {
    return form === "va"
      ? guestLinear(this.vaBits, GUEST_BUFFER, offset)
      : BigInt(GUEST_BUFFER) * 4096n + BigInt(offset);
  }

  /** The guest reads its buffer, as it does before or after a call. */
  touchBuffer(offset: number, bytes: number, element = 0): void {
    const { mmu } = this.elements[element];
    for (let at = offset; at < offset + bytes; at = (Math.floor(at / 64) + 1) * 64)
      mmu.read("el1", this.bufferAddress("va", at));
  }

  /** Machine bytes of the guest's buffer. */
  bufferBytes(offset: number, bytes: number): Uint8Array {
    const machine = GUEST_BUFFER - GUEST_RAM + GUEST_RAM_MACHINE;
    return this.memory.readBytes(machine * 4096 + offset, bytes);
  }

  /** A whole hypercall with one structure, from HVC to ERET. */
  *hypercall(
    form: ArmForm,
    offset: number,
    buffer: Uint8Array,
    toGuest: boolean,
    element = 0,
  ): CopyPath<ArmCopyResult> {
    const { cost } = this.elements[element];
    cost.hardware(ArmPhase.ExceptionEntry, Cause.ExitHardware, this.timing.exceptionEntry);
    for (const stage of HYPERCALL_ENTRY) cost.run(stage);
    cost.run(OPERATION);
    const context = { cost, p2m: this.p2m, stage1: this.stage1 };
    const copy = form === "va" ? copyByVa : copyByIpa;
    const result = yield* copy(context, this.bufferAddress(form, offset), buffer, toGuest);
    for (const stage of HYPERCALL_EXIT) cost.run(stage);
    cost.hardware(ArmPhase.ExceptionReturn, Cause.EntryHardware, this.timing.exceptionReturn);
    return result;
  }

  /** Estimates of the stages that ran, without the profile's. */
  estimates(): ProfileEstimate[] {
    const byKey = new Map<string, ProfileEstimate>();
    for (const { cost } of this.elements) for (const one of cost.estimates()) byKey.set(one.key, one);
    return [...byKey.values()];
  }

  private mapGuestRam(size: PageSizeName): void {
    const { p2m } = this;
    const map = (gfn: number, count: number, of: PageSizeName) =>
      p2m.map(gfn, gfn - GUEST_RAM + GUEST_RAM_MACHINE, count, of);
    if (size === "1g") map(GUEST_RAM, 1, "1g");
    else if (size === "2m") map(GUEST_RAM, 512, "2m");
    else {
      map(GUEST_BUFFER & ~511, SMALL_PAGES, "4k");
      map(GUEST_TABLES, 512, "4k");
    }
  }

  private mapGuest(size: PageSizeName, vaBits: number): ArmStage1Tables {
    let next = GUEST_TABLES;
    const tables = new ArmStage1Tables(
      {
        memory: this.memory,
        allocate: () => next++,
        locate: (frame) => frame - GUEST_RAM + GUEST_RAM_MACHINE,
      },
      vaBits,
    );
    if (size === "1g") tables.map(GUEST_RAM, GUEST_RAM, "1g", DATA);
    else if (size === "2m") tables.mapRange(GUEST_RAM, GUEST_RAM, 512, "2m", DATA);
    else tables.mapRange(GUEST_BUFFER & ~511, GUEST_BUFFER & ~511, SMALL_PAGES, "4k", DATA);
    return tables;
  }

  /** Xen's address space: image, direct map, frame table. @returns machine frame of the root */
  private mapXen(): number {
    let next = XEN_TABLES;
    const tables = new ArmStage1Tables({ memory: this.memory, allocate: () => next++ });
    const page = (address: bigint) => Number(address >> 12n);
    tables.mapRange(page(XEN_VIRT_START), XEN_IMAGE, XEN_IMAGE_FRAMES, "4k", NORMAL);
    tables.mapRange(page(DIRECTMAP_VIRT_START), 0, MACHINE_FRAMES / 0x40000, "1g", DATA);
    const blocks = Math.ceil((MACHINE_FRAMES * PAGE_INFO_BYTES) / 2 ** 21);
    tables.mapRange(page(FRAMETABLE_VIRT_START), FRAME_TABLE, blocks, "2m", DATA);
    return tables.rootFrame;
  }
}
