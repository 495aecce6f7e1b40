import type { VmExit } from "@hyperwalk/cpu";
import { EptQualification, NPF_TABLE_WALK, PageFaultCode } from "@hyperwalk/mmu";

/** Bit of an EPT violation's qualification: an instruction fetch. */
const EPT_FETCH = 4;
/** Both formats have the write in bit 1. */
const WRITE = PageFaultCode.Write;

/** What a fault of the second stage was about, whichever vendor's processor tells it; reused. */
export class SecondStageFault {
  /** Guest frame, and the offset in it. */
  gfn = 0;
  offset = 0;
  write = false;
  fetch = false;
  /** The access itself faulted, and not the walk of the guest's tables for it. */
  final = false;
  /** It was that walk. EPT does not tell of the pointers that PAE loads with CR3: neither is so then. */
  inGuestTables = false;
  private readonly isAmd: boolean;
  private lo = 0;
  private hi = 0;

  /** @param isAmd EXITINFO1 of a nested page fault; else the qualification of an EPT violation */
  constructor(isAmd: boolean) {
    this.isAmd = isAmd;
  }

  /** Takes an exit apart. */
  read({ info1Lo, info1Hi, info2Lo, info2Hi }: VmExit): void {
    this.lo = info2Lo;
    this.hi = info2Hi;
    this.gfn = (info2Lo >>> 12) + (info2Hi >>> 0) * 0x100000;
    this.offset = info2Lo & 4095;
    this.write = (info1Lo & WRITE) !== 0;
    this.fetch = (info1Lo & (this.isAmd ? PageFaultCode.Fetch : EPT_FETCH)) !== 0;
    this.final = this.isAmd ? (info1Hi & NPF_TABLE_WALK) === 0 : (info1Lo & EptQualification.Final) !== 0;
    const isLinear = this.isAmd || (info1Lo & EptQualification.LinearAddressValid) !== 0;
    this.inGuestTables = isLinear && !this.final;
  }

  /** Guest-physical address in hexadecimal. */
  get address(): string {
    return `0x${((BigInt(this.hi >>> 0) << 32n) | BigInt(this.lo >>> 0)).toString(16)}`;
  }
}
