import {
  Arena,
  ArmMmu,
  ArmStage1,
  ArmStage1Tables,
  ArmStage2,
  ArmStage2Tables,
  CycleLedger,
  type MemoryProfile,
  PhysicalMemory,
} from "@hyperwalk/mmu";
import { SMALL } from "../machine.js";

export const NORMAL: number = ArmStage1.Normal | ArmStage1.InnerShareable | ArmStage1.AccessFlag;
export const NORMAL2: number =
  ArmStage2.Normal | ArmStage2.InnerShareable | ArmStage2.AccessFlag | ArmStage2.Read | ArmStage2.Write;

/** Machine frames: 4 GiB from 0, of which tables of stage 2 come from the first 16 MiB. */
const RAM_FRAMES = 0x100000;
const STAGE2_TABLES = 0x100;
/** The guest's RAM: 1 GiB at intermediate physical 1 GiB, which is machine 2 GiB. */
export const GUEST_RAM = 0x40000;
export const GUEST_MACHINE = 0x80000;
/** The guest's tables, in its own frames. */
const GUEST_TABLES = GUEST_RAM + 0x3f000;

export interface TestElementOptions {
  readonly vaBits?: number;
  readonly ipaBits?: number;
  readonly startLevel?: number;
  readonly profile?: MemoryProfile;
  readonly vmid?: number;
  readonly ipaCacheSmallest?: "4k" | "2m" | "1g";
}

/** What {@link testElement} makes. */
export interface TestElement {
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: ArmMmu;
  readonly stage1: ArmStage1Tables;
  readonly stage2: ArmStage2Tables;
  /** Has the element run the guest under an ASID. */
  attach(asid?: number): void;
}

/** One processing element, a guest's stage 1 (both halves share a root) and its stage 2, over 4 GiB. */
export function testElement(options: TestElementOptions = {}): TestElement {
  const { vaBits = 48, ipaBits = 48, profile = SMALL, vmid = 7 } = options;
  const arena = new Arena();
  const memory = new PhysicalMemory(arena);
  memory.addRam(0, RAM_FRAMES);
  const ledger = new CycleLedger(arena);
  const mmu = new ArmMmu({ memory, ledger, profile, ipaCacheSmallest: options.ipaCacheSmallest ?? "2m" });
  let nextHost = STAGE2_TABLES + 16;
  let nextGuest = GUEST_TABLES;
  const stage2 = new ArmStage2Tables(
    { memory, allocate: () => nextHost++, rootFrame: STAGE2_TABLES },
    ipaBits,
    ...(options.startLevel === undefined ? [] : [options.startLevel]),
  );
  const stage1 = new ArmStage1Tables(
    { memory, allocate: () => nextGuest++, locate: (frame) => frame - GUEST_RAM + GUEST_MACHINE },
    vaBits,
  );
  const attach = (asid = 1) =>
    mmu.setGuest(
      {
        enabled: true,
        lower: { rootFrame: stage1.rootFrame, inputBits: vaBits },
        upper: { rootFrame: stage1.rootFrame, inputBits: vaBits },
        asid,
        outputBits: 48,
      },
      { rootFrame: stage2.rootFrame, ipaBits, startLevel: stage2.startLevel, vmid },
    );
  attach();
  return { memory, ledger, mmu, stage1, stage2, attach };
}

/** Address of a page of the lower half. */
export function address(page: number, offset = 0): bigint {
  return (BigInt(page) << 12n) | BigInt(offset);
}
