import { type CpuidLeaf, definedCr4, type ResolvedProfile } from "@hyperwalk/cpu";
import { C_BIT } from "@hyperwalk/mmu";
import { type ConfidentialKind, encryptsRegisters } from "./confidential.js";
import { XEN_MAJOR, XEN_MINOR } from "./operations/version.js";
import type { Viridian } from "./viridian/viridian.js";

/** First of Xen's CPUID leaves where no Hyper-V leaves come before them. */
export const XEN_CPUID_BASE = 0x40000000;
/** MSR that writes the hypercall page, from leaf base+2. */
export const HYPERCALL_PAGE_MSR = 0x40000000;
/** The same two in a domain with Hyper-V's interface, which has the first place. */
export const XEN_CPUID_BASE_BEHIND_VIRIDIAN = 0x40000100;
export const HYPERCALL_PAGE_MSR_BEHIND_VIRIDIAN = 0x40000200;
const LAST_XEN_LEAF = 5;
/** "XenVMMXenVMM". */
const SIGNATURE = [0x566e6558, 0x65584d4d, 0x4d4d566e] as const;

const NOTHING = [0, 0, 0, 0] as const;
const HVM_IOMMU_MAPPINGS = 1 << 2;
const HVM_VCPU_ID_PRESENT = 1 << 3;
const HVM_DOMID_PRESENT = 1 << 4;
const HVM_UPCALL_VECTOR = 1 << 6;
const TSC_HOST_RELIABLE = 1 << 1;

const FEATURE_HYPERVISOR = 1 << 31;
const FEATURE_VMX = 1 << 5;
const FEATURE_SVM = 1 << 2;
const FEATURE_MONITOR = 1 << 3;
/** Offered to HVM guests whatever the processor has. */
const FEATURE_X2APIC = 1 << 21;
const FEATURE_OSXSAVE = 1 << 27;
const FEATURE_OSPKE = 1 << 4;
/** Not among what `MsrPolicy` lets a guest set in EFER. */
const FEATURE_FFXSR = 1 << 25;
const FEATURE_XSAVES = 1 << 3;
const ENCRYPTION_LEAF = 0x8000001f;
const FEATURE_SEV = 1 << 1;
const FEATURE_SEV_ES = 1 << 3;
const FEATURE_SEV_SNP = 1 << 4;
const VMPL_COUNT_SHIFT = 12;
const REDUCED_ADDRESS_BITS = 6;
const FEATURE_PCID = 1 << 17;
const FEATURE_INVPCID = 1 << 10;
const FEATURE_PKU = 1 << 3;
const FEATURE_LA57 = 1 << 16;
const FEATURE_PAGE1GB = 1 << 26;
const CR4_OSXSAVE = 1 << 18;
const CR4_PKE = 1 << 22;

/** What a domain's CPUID policy is made from. */
export interface CpuidPolicyOptions {
  readonly profile: ResolvedProfile;
  /** Bits of EAX in the HVM leaf that announce the domain's hypercall interface. */
  readonly abiFeatures: number;
  /** Hypercall pages that the guest may have; default 1. */
  readonly hypercallPages?: number;
  readonly domainId: number;
  /** Undefined where the domain has no Hyper-V interface. */
  readonly viridian?: Viridian | undefined;
  /** False under shadow paging, which lacks what needs nested paging. Default true. */
  readonly hap?: boolean | undefined;
  /** Default: the domain is not encrypted. */
  readonly confidential?: ConfidentialKind | undefined;
}

/**
 * A domain's CPUID, as `guest_cpuid` answers it: the processor's leaves without nested virtualization and with the
 * hypervisor bit, and Xen's own at {@link XEN_CPUID_BASE}. Leaves that are not there read as zero.
 */
export class CpuidPolicy {
  /** After {@link query}: EAX, EBX, ECX, EDX. */
  readonly result: Int32Array = new Int32Array(4);
  private readonly leaves: readonly CpuidLeaf[];
  private readonly hvmFeatures: number;
  private readonly hypercallPages: number;
  private readonly domainId: number;
  private readonly khz: number;
  private readonly viridian: Viridian | undefined;
  /** Number of Xen's first leaf. */
  private readonly base: number;
  /** The MSR that writes Xen's hypercall page. */
  readonly hypercallPageMsr: number;

  constructor(options: CpuidPolicyOptions) {
    const { profile, abiFeatures, viridian } = options;
    this.viridian = viridian;
    this.base = viridian === undefined ? XEN_CPUID_BASE : XEN_CPUID_BASE_BEHIND_VIRIDIAN;
    this.hypercallPageMsr = viridian === undefined ? HYPERCALL_PAGE_MSR : HYPERCALL_PAGE_MSR_BEHIND_VIRIDIAN;
    const { confidential } = options;
    const leaves = profile.cpuid
      .filter((leaf) => leaf[0] !== 0x8000000a)
      .map((leaf) => levelled(leaf, profile.vendor))
      .map((leaf) => (options.hap === false ? withoutHap(leaf) : leaf));
    this.hypercallPages = options.hypercallPages ?? 1;
    this.leaves =
      confidential === undefined
        ? leaves
        : [...leaves.filter(([leaf]) => leaf !== ENCRYPTION_LEAF), encryptionLeaf(confidential)];
    this.domainId = options.domainId;
    this.khz = Math.round(profile.ghz * 1e6);
    this.hvmFeatures =
      HVM_IOMMU_MAPPINGS | HVM_VCPU_ID_PRESENT | HVM_DOMID_PRESENT | HVM_UPCALL_VECTOR | abiFeatures;
  }

  /** Whether the guest has XSAVES and XRSTORS. */
  get xsaves(): boolean {
    return this.leaves.some(([leaf, sub, eax]) => leaf === 0xd && sub === 1 && (eax & FEATURE_XSAVES) !== 0);
  }

  /** Bits that a guest may have in CR4 (`hvm_cr4_guest_valid_bits`). */
  get validCr4(): number {
    return definedCr4(this.leaves);
  }

  /** Is this one of Xen's leaves (or past their end, but in their range)? */
  isXenLeaf(leaf: number): boolean {
    return (leaf & 0xffff0000) === XEN_CPUID_BASE;
  }

  /** Answers one CPUID into {@link result}. @param cr4 the guest's, which some bits mirror */
  query(leaf: number, subleaf: number, vcpu: number, cr4: number): void {
    const { result } = this;
    result.fill(0);
    if (this.isXenLeaf(leaf)) {
      this.xenLeaf(leaf >>> 0, subleaf, vcpu);
      return;
    }
    this.basicLeaf(leaf >>> 0, subleaf >>> 0);
    if (leaf === 1 && (cr4 & CR4_OSXSAVE) !== 0) result[2] |= FEATURE_OSXSAVE;
    if (leaf === 7 && subleaf === 0 && (cr4 & CR4_PKE) !== 0) result[2] |= FEATURE_OSPKE;
  }

  private basicLeaf(leaf: number, subleaf: number): void {
    for (const [number, sub, eax, ebx, ecx, edx] of this.leaves) {
      if (number !== leaf || (sub !== subleaf && this.hasSubleaves(leaf))) continue;
      this.set(eax, ebx, ecx, edx);
      return;
    }
  }

  private hasSubleaves(leaf: number): boolean {
    return (
      leaf === 4 ||
      leaf === 7 ||
      leaf === 0xb ||
      leaf === 0xd ||
      leaf === 0x12 ||
      leaf === 0x14 ||
      leaf === 0x8000001d
    );
  }

  private xenLeaf(leaf: number, subleaf: number, vcpu: number): void {
    if (leaf < this.base) {
      this.set(...(this.viridian?.leaf(leaf) ?? NOTHING));
      return;
    }
    switch (leaf - this.base) {
      case 0:
        this.set(this.base + LAST_XEN_LEAF, ...SIGNATURE);
        break;
      case 1:
        this.set((XEN_MAJOR << 16) | XEN_MINOR, 0, 0, 0);
        break;
      case 2:
        this.set(this.hypercallPages, this.hypercallPageMsr, 0, 0);
        break;
      case 3:
        this.tscLeaf(subleaf);
        break;
      case 4:
        this.set(this.hvmFeatures, vcpu, this.domainId, 0);
        break;
    }
  }

  private tscLeaf(subleaf: number): void {
    if (subleaf === 0) this.set(TSC_HOST_RELIABLE, 0, this.khz, 0);
    // Offset 0; nanoseconds = (cycles * mul_frac) >> 32.
    else if (subleaf === 1) this.set(0, 0, Math.floor((1e6 / this.khz) * 2 ** 32), 0);
    else if (subleaf === 2) this.set(this.khz, 0, 0, 0);
  }

  private set(eax: number, ebx: number, ecx: number, edx: number): void {
    const { result } = this;
    result[0] = eax;
    result[1] = ebx;
    result[2] = ecx;
    result[3] = edx;
  }
}

/** CPUID 8000001F: SEV, SEV-ES, SEV-SNP; the C-bit's place, the physical address bits that encryption takes, VMPLs. */
function encryptionLeaf(confidential: ConfidentialKind): CpuidLeaf {
  const isSecure = confidential === "sev-snp";
  const features =
    FEATURE_SEV | (encryptsRegisters(confidential) ? FEATURE_SEV_ES : 0) | (isSecure ? FEATURE_SEV_SNP : 0);
  const levels = isSecure ? 1 << VMPL_COUNT_SHIFT : 0;
  return [ENCRYPTION_LEAF, 0, features, C_BIT | (REDUCED_ADDRESS_BITS << 6) | levels, 0, 0];
}

/** Features that Xen shows to guests under nested paging alone: PCID, INVPCID, PKU, 1 GiB pages; and LA57. */
function withoutHap([number, sub, eax, ebx, ecx, edx]: CpuidLeaf): CpuidLeaf {
  if (number === 1) return [number, sub, eax, ebx, (ecx & ~FEATURE_PCID) >>> 0, edx];
  if (number === 7 && sub === 0)
    return [
      number,
      sub,
      eax,
      (ebx & ~FEATURE_INVPCID) >>> 0,
      (ecx & ~(FEATURE_PKU | FEATURE_LA57)) >>> 0,
      edx,
    ];
  if (number === 0x80000001) return [number, sub, eax, ebx, ecx, (edx & ~FEATURE_PAGE1GB) >>> 0];
  return [number, sub, eax, ebx, ecx, edx];
}

function levelled(leaf: CpuidLeaf, vendor: string): CpuidLeaf {
  const [number, sub, eax, ebx, ecx, edx] = leaf;
  if (number === 1)
    return [
      number,
      sub,
      eax,
      ebx,
      ((ecx & ~(FEATURE_VMX | FEATURE_MONITOR)) | FEATURE_HYPERVISOR | FEATURE_X2APIC) >>> 0,
      edx,
    ];
  if (number === 0x80000001)
    return [number, sub, eax, ebx, (ecx & ~FEATURE_SVM) >>> 0, (edx & ~FEATURE_FFXSR) >>> 0];
  // On VMX a guest has XSAVES by an execution control, which this processor does not offer.
  if (number === 0xd && sub === 1 && vendor === "intel")
    return [number, sub, eax & ~FEATURE_XSAVES, ebx, ecx, edx];
  return leaf;
}
