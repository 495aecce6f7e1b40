import type { ViridianGroup } from "./viridian-group.js";

/** What a domain with Hyper-V's interface keeps, as plain data: MSRs as [low, high]. */
export interface ViridianSnapshot {
  readonly guestOsId: readonly [number, number];
  readonly hypercallPage: readonly [number, number];
}

/** "Microsoft Hv" in EBX, ECX, EDX; "Hv#1". */
const SIGNATURE = [0x7263694d, 0x666f736f, 0x76482074] as const;
const INTERFACE = 0x31237648;
const MAX_LEAF = 0x40000006;
/** Version and build that leaf 2 reports: those of Windows Server 2008, as in Xen. */
const BUILD = 0x1772;
const VERSION = 6 << 16;
/** Privileges of leaf 3. */
const AccessTimeReference = 1 << 1;
const AccessInterruptControl = 1 << 4;
const AccessHypercall = 1 << 5;
const AccessVpIndex = 1 << 6;
const AccessFrequency = 1 << 11;
/** Recommendations of leaf 4. */
const RemoteTlbFlush = 1 << 2;
const MsrBasedApic = 1 << 3;
const RelaxedTiming = 1 << 5;
const ClusterIpi = 1 << 10;
const ExProcessorMasks = 1 << 11;
/** Least version of the operating system that gets recommendations: bits 47:40 of its identity. */
const LEAST_OS = 4;
const SPIN_RETRIES = 2047;
/** Virtual processors without `no_vp_limit`. */
const VP_LIMIT = 64;
/** Features in use, of leaf 6. */
const MsrBitmaps = 1 << 1;
const NestedPaging = 1 << 3;

/** A domain's side of Hyper-V's interface (Xen: `arch/x86/hvm/viridian`): identity, hypercall page, CPUID leaves. */
export class Viridian {
  /** HV_X64_MSR_GUEST_OS_ID: 0 until the guest says what it is. */
  guestOsIdLo = 0;
  guestOsIdHi = 0;
  /** HV_X64_MSR_HYPERCALL: bit 0 enabled, bits 63:12 the guest frame. */
  hypercallLo = 0;
  hypercallHi = 0;
  private readonly groups: ReadonlySet<ViridianGroup>;
  private readonly hap: boolean;

  /** @param hap the guest's memory is under nested paging */
  constructor(groups: readonly ViridianGroup[], hap: boolean) {
    this.groups = new Set(groups);
    this.hap = hap;
  }

  has(group: ViridianGroup): boolean {
    return this.groups.has(group);
  }

  /** Answers one of the leaves 0x40000000 to 0x400000ff (`cpuid_viridian_leaves`); all others are zero. */
  leaf(leaf: number): readonly [number, number, number, number] {
    const known = (this.guestOsIdLo | this.guestOsIdHi) !== 0;
    switch (leaf & 0xff) {
      case 0:
        return [MAX_LEAF, ...SIGNATURE];
      case 1:
        return [INTERFACE, 0, 0, 0];
      case 2:
        return known ? [BUILD, VERSION, 0, 0] : [0, 0, 0, 0];
      case 3:
        return [this.privileges, 0, 0, 0];
      case 4:
        return known && ((this.guestOsIdHi >>> 8) & 0xff) >= LEAST_OS
          ? [this.recommendations, SPIN_RETRIES, 0, 0]
          : [0, 0, 0, 0];
      case 5:
        return [this.has("no_vp_limit") ? -1 : VP_LIMIT, 0, 0, 0];
      case 6:
        return [MsrBitmaps | (this.hap ? NestedPaging : 0), 0, 0, 0];
      default:
        return [0, 0, 0, 0];
    }
  }

  snapshot(): ViridianSnapshot {
    return {
      guestOsId: [this.guestOsIdLo, this.guestOsIdHi],
      hypercallPage: [this.hypercallLo, this.hypercallHi],
    };
  }

  restore(snapshot: ViridianSnapshot): void {
    [this.guestOsIdLo, this.guestOsIdHi] = snapshot.guestOsId;
    [this.hypercallLo, this.hypercallHi] = snapshot.hypercallPage;
  }

  private get privileges(): number {
    return (
      AccessInterruptControl |
      AccessHypercall |
      AccessVpIndex |
      (this.has("freq") ? AccessFrequency : 0) |
      (this.has("time_ref_count") ? AccessTimeReference : 0)
    );
  }

  private get recommendations(): number {
    return (
      RelaxedTiming |
      MsrBasedApic |
      (this.has("hcall_remote_tlb_flush") ? RemoteTlbFlush : 0) |
      (this.has("hcall_ipi") ? ClusterIpi : 0) |
      (this.has("ex_processor_masks") ? ExProcessorMasks : 0)
    );
  }
}
