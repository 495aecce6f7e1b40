import { SNP_COSTS } from "@hyperwalk/cpu";
import {
  Cause,
  HYPERVISOR_PAGE,
  LARGE_PAGE_FRAMES,
  type Mmu,
  type ReverseMap,
  type ReverseMapEntry,
  ticks,
} from "@hyperwalk/mmu";
import type { P2m } from "../../p2m.js";
import type { PageOwnership } from "../../page-ownership.js";

/** VMPL0 may do everything: read, write, execute in user and supervisor mode. */
const VMPL0_ALL = 0xf;
/** Guest frame of a VMSA in its entry, as SNP firmware has it: no guest reaches it. */
const VMSA_GFN = 0xfffffffff;

const RMPUPDATE_TICKS: number = ticks(SNP_COSTS.rmpupdate.value);
const PSMASH_TICKS: number = ticks(SNP_COSTS.psmash.value);

/** Entry of a page that belongs to an SNP guest. */
export function ownedBy(asid: number, gfn: number, large: boolean, validated: boolean): ReverseMapEntry {
  return { ...HYPERVISOR_PAGE, assigned: true, asid, gfn, large, validated, permissions: VMPL0_ALL };
}

/**
 * What Xen does to the reverse map for an SNP domain: RMPUPDATE and PSMASH, each followed by dropping the guest's cached
 * translations, and the check that hardware makes of Xen's own writes. Entries are read through the caches.
 */
export class SecurePages implements PageOwnership {
  private readonly map: ReverseMap;
  private readonly mmu: Mmu;
  private readonly p2m: P2m;
  private readonly asid: number;

  constructor(map: ReverseMap, mmu: Mmu, p2m: P2m, asid: number) {
    this.map = map;
    this.mmu = mmu;
    this.p2m = p2m;
    this.asid = asid;
  }

  isPrivate(mfn: number): boolean {
    return this.map.isAssigned(mfn);
  }

  mayWrite(mfn: number): boolean {
    return this.mmu.hostMayWrite(mfn);
  }

  leave(mfn: number): void {
    if (!this.isPrivate(mfn)) return;
    if (this.map.read(mfn).large) this.smash(mfn);
    this.update(mfn, HYPERVISOR_PAGE);
  }

  /** The 2 MiB page around a guest frame becomes 512 small ones, in the reverse map and in the p2m. */
  split(gfn: number, mfn: number): void {
    if (this.map.read(mfn).large) this.smash(mfn);
    this.p2m.shatter(gfn, true);
  }

  /** A private page of 4 KiB becomes Xen's; its guest finds it by addresses without the C-bit. */
  share(gfn: number, mfn: number): void {
    this.split(gfn, mfn);
    this.update(mfn, HYPERVISOR_PAGE);
  }

  /** A page of 4 KiB becomes the guest's, who has to validate it. */
  assign(gfn: number, mfn: number): void {
    this.split(gfn, mfn);
    this.update(mfn, ownedBy(this.asid, gfn, false, false));
  }

  /** LAUNCH_UPDATE by the secure processor: the page is the guest's, and valid. */
  launch(gfn: number, mfn: number): void {
    if (this.map.read(mfn).large) this.map.smash(mfn);
    this.p2m.shatter(gfn);
    this.map.write(mfn, ownedBy(this.asid, gfn, false, true));
  }

  /** The same of the page with the register state of the vCPU. */
  launchVmsa(mfn: number): void {
    this.map.write(mfn, { ...ownedBy(this.asid, VMSA_GFN, false, true), vmsa: true });
  }

  /** PSMASH */
  private smash(mfn: number): void {
    const first = mfn - (mfn % LARGE_PAGE_FRAMES);
    this.mmu.hostMayWrite(first);
    this.mmu.ledger.charge(Cause.Microcode, PSMASH_TICKS);
    this.map.smash(mfn);
    this.p2m.onChange?.();
  }

  /** RMPUPDATE */
  private update(mfn: number, entry: ReverseMapEntry): void {
    this.mmu.hostMayWrite(mfn);
    this.mmu.ledger.charge(Cause.Microcode, RMPUPDATE_TICKS);
    this.map.write(mfn, entry);
    this.p2m.onChange?.();
  }
}
