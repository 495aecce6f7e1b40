import type { ProcessorProfile } from "../profile.js";
import { ANY_PART } from "./any-part.js";
import { Implemented, only } from "./implemented-features.js";
import {
  INTEL,
  INTEL_NESTED_PAGING_STRUCTURE_CACHES,
  INTEL_NESTED_TLB,
  INTEL_PAGING_STRUCTURE_CACHES,
} from "./intel.js";
import { derived, estimate, measured, published, vendor } from "./quantity.js";

const DUMP = "InstLatx64 register dump GenuineIntel0050654_SkylakeXeon_20 (Xeon Platinum 8160)";
const INSTRUCTIONS = "InstLatx64 GenuineIntel0050654_SkylakeXeon_20_InstLatX64 (Xeon Platinum 8160)";
const LATENCY = "InstLatx64 NewMemLat table (Core i7-7800X, same core)";
const EXIT_ANATOMY =
  '"exit-anatomy" measurements of the Composite/Errand project (Platinum 8160 at 2.1 GHz, turbo and SMT off)';

/** Intel Xeon Platinum 8160: Skylake-SP, 24 cores, turbo and SMT off as in the measurements. */
export const skylakeSp: ProcessorProfile = {
  id: "skylake-sp",
  name: "Intel Xeon Platinum 8160 (Skylake-SP)",
  vendor: "intel",
  frequency: vendor(2.1, "GHz", `${DUMP}: base frequency, CPUID 16h; turbo off as in the exit measurements`),
  timing: {
    issue: estimate(
      0.58,
      "cycles",
      [0.33, 1],
      "1 / sustained IPC of integer code with no miss, mispredict, fence or atomic (those are charged beside it): geometric mean of 1/3 (tight integer loops on a four-wide core) and 1 (a chain of one-cycle operations). Rename of 4 a cycle is only a bound. The same number prices guest and hypervisor instructions.",
    ),
    multiply: measured(3, "cycles", `${INSTRUCTIONS}: IMUL r64, r64 latency`),
    divide32: measured(27.1, "cycles", `${INSTRUCTIONS}: DIV r32 64/32b (full)`),
    divide64: measured(90.5, "cycles", `${INSTRUCTIONS}: DIV r64 128/64b (full)`),
    branchMispredict: estimate(
      15,
      "cycles",
      [14, 17],
      "14-16.5 reported for Skylake; not re-read in a vendor document",
    ),
    branchResteer: INTEL.branchResteer,
    atomic: measured(18, "cycles", `${INSTRUCTIONS}: LOCK ADD [m64], r64 latency, line in L1D; XCHG 18.0`),
    lfence: measured(4.3, "cycles", `${INSTRUCTIONS}: LFENCE`),
    mfence: measured(33.3, "cycles", `${INSTRUCTIONS}: MFENCE`),
    serialise: estimate(
      50,
      "cycles",
      [20, 100],
      "other serialising instructions: between LFENCE (4.3) and CPUID leaf 0 (99.3), about MFENCE (33.3)",
    ),
    cpuid: measured(99.3, "cycles", `${INSTRUCTIONS}: CPUID leaf 0`),
    rdtsc: measured(25, "cycles", `${INSTRUCTIONS}: RDTSC throughput`),
    pause: measured(140, "cycles", `${INSTRUCTIONS}: PAUSE, 140.25`),
    wrmsr: ANY_PART.wrmsr,
    rdmsr: ANY_PART.rdmsr,
    wrmsrSpecCtrl: derived(
      495,
      "cycles",
      `12.8 % of a 3,864-cycle exit attributed to the function around WRMSR SPEC_CTRL with IBRS, so an upper bound: ${EXIT_ANATOMY}, Linux 6.14`,
      [150, 500],
    ),
    ibpb: published(1500, "cycles", `"order of 1,500": ${EXIT_ANATOMY}`),
    verw: estimate(
      400,
      "cycles",
      [300, 500],
      "VERW with the buffer-clearing microcode; RSB fill and VERW together take 16 % of a 3,864-cycle exit (618)",
    ),
    cliSti: ANY_PART.cliSti,
    clgiStgi: INTEL.clgiStgi,
    vmread: INTEL.vmread,
    vmwrite: INTEL.vmwrite,
    vmentry: estimate(
      338,
      "cycles",
      [226, 450],
      `half of VM exit + VMRESUME = 676, measured as a pair: ${EXIT_ANATOMY}. Only the split (a third to two thirds) is an estimate.`,
    ),
    vmexit: estimate(338, "cycles", [226, 450], "the other half of the measured pair of 676, see vmentry"),
    movCr3: measured(
      230,
      "cycles",
      `host MOV to CR3, about 230, without the 210 that the next VMRESUME pays: ${EXIT_ANATOMY}`,
    ),
    invlpg: published(200, "cycles", "about 200 on Skylake: D. Hansen, lkml 2017"),
    farTransfer: ANY_PART.farTransfer,
    interruptDelivery: ANY_PART.interruptDelivery,
    stringStart: INTEL.stringStart,
    stringPerLine: derived(
      1.11,
      "cycles",
      `64 / 57.8 bytes a cycle: ${INSTRUCTIONS}, REP MOVSB/Q in L1D; REP STOS is 43 bytes a cycle`,
    ),
    portIo: INTEL.portIo,
    l1dFlush: measured(
      2076,
      "cycles",
      `L1D flush on VM entry, by ablation (1,829 by profile): ${EXIT_ANATOMY}, Linux 6.14`,
    ),
  },
  predictor: {
    btbEntries: estimate(4096, "entries", [2048, 8192], "BTB size is not published by Intel"),
    patternEntries: ANY_PART.patternEntries,
    returnStack: estimate(
      16,
      "entries",
      [16, 32],
      "16 as remembered from Intel's optimization manual, not re-read; Xen overwrites 32 on every part",
    ),
  },
  memory: {
    l1i: {
      bytes: vendor(32768, "bytes", `${DUMP}, CPUID 4 subleaf 1`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 4 subleaf 1`),
      latency: INTEL.fetchLatency,
      replacement: "tree-plru",
    },
    l1d: {
      bytes: vendor(32768, "bytes", `${DUMP}, CPUID 4 subleaf 0`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 4 subleaf 0`),
      latency: measured(4, "cycles", `${LATENCY}; 5 with complex addressing`),
      replacement: "tree-plru",
    },
    l2: {
      bytes: vendor(1048576, "bytes", `${DUMP}, CPUID 4 subleaf 2`),
      ways: vendor(16, "ways", `${DUMP}, CPUID 4 subleaf 2`),
      latency: measured(14, "cycles", LATENCY),
      replacement: "tree-plru",
    },
    l3: {
      bytes: derived(
        23068672,
        "bytes",
        `22 MiB = 11 ways x 32768 sets x 64: the largest power of two of sets in the real 33 MiB (49152 sets); ${DUMP}, CPUID 4 subleaf 3`,
      ),
      ways: vendor(11, "ways", `${DUMP}, CPUID 4 subleaf 3`),
      latency: measured(70, "cycles", `${LATENCY}: 70-78; the mesh clock differs between parts`),
      replacement: "lru",
      policy: "non-inclusive",
    },
    dramLatency: estimate(
      189,
      "cycles",
      [174, 200],
      "85-95 ns reported for Skylake-SP, local, at 2.1 GHz; a 7800X measures 83 ns",
    ),
    overlap: {
      load: estimate(
        0.5,
        "ratio",
        [0.2, 0.8],
        "share of a load miss hidden by a 224-entry window: dependent loads hide nothing, independent ones nearly all",
      ),
      store: estimate(
        0.9,
        "ratio",
        [0.7, 1],
        "stores retire into a 56-entry queue and wait there, not in the core",
      ),
      fetch: ANY_PART.fetchOverlap,
    },
    l1Dtlb: [
      {
        entries: vendor(64, "entries", `${DUMP}, CPUID 2 descriptor 03h`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 2 descriptor 03h`),
        pages: ["4k"],
        replacement: "lru",
      },
      {
        entries: vendor(32, "entries", `${DUMP}, CPUID 2 descriptor 63h`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 2 descriptor 63h`),
        pages: ["2m"],
        replacement: "lru",
      },
      {
        entries: vendor(4, "entries", `${DUMP}, CPUID 2 descriptor 63h`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 2 descriptor 63h`),
        pages: ["1g"],
        replacement: "lru",
      },
    ],
    l1Itlb: [
      {
        entries: vendor(
          128,
          "entries",
          "CPUID 2 descriptor B6h of most steppings; this dump, taken with SMT on, reports B5h = 64",
        ),
        ways: vendor(8, "ways", `${DUMP}, CPUID 2 descriptor B5h`),
        pages: ["4k"],
        replacement: "lru",
      },
      {
        entries: vendor(8, "entries", `${DUMP}, CPUID 2 descriptor 76h, per thread`),
        ways: vendor(8, "ways", `${DUMP}, CPUID 2 descriptor 76h: fully associative`),
        pages: ["2m"],
        replacement: "lru",
      },
    ],
    l2Dtlb: [
      {
        entries: vendor(1536, "entries", `${DUMP}, CPUID 2 descriptor C3h: shared by code and data`),
        ways: published(12, "ways", "12 in AIDA and Intel's optimization manual; descriptor C3h says 6"),
        pages: ["4k", "2m"],
        replacement: "lru",
      },
      {
        entries: vendor(16, "entries", `${DUMP}, CPUID 2 descriptor C3h`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 2 descriptor C3h`),
        pages: ["1g"],
        replacement: "lru",
      },
    ],
    l2Itlb: [],
    l2TlbLatency: derived(9, "cycles", `23 - 14: ${LATENCY}, 384 KiB against 128 KiB of one load a page`),
    pagingStructureCaches: INTEL_PAGING_STRUCTURE_CACHES,
    nestedPagingStructureCaches: INTEL_NESTED_PAGING_STRUCTURE_CACHES,
    nestedTlb: INTEL_NESTED_TLB,
    physicalAddressBits: vendor(46, "bits", `${DUMP}, CPUID 80000008 EAX = 0x2e`),
  },
  // Real register values, cut down to what the engine implements.
  cpuid: [
    [0x0000_0000, 0, 0x0000_000d, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
    [
      0x0000_0001,
      0,
      0x0005_0654,
      0x0040_0800,
      only(0x7ffe_fbff, Implemented.leaf1Ecx),
      only(0xbfeb_fbff, Implemented.leaf1Edx),
    ],
    [0x0000_0002, 0, 0x7603_6301, 0x00f0_b5ff, 0, 0x00c3_0000],
    [0x0000_0004, 0, 0x7c00_4121, 0x01c0_003f, 0x0000_003f, 0],
    [0x0000_0004, 1, 0x7c00_4122, 0x01c0_003f, 0x0000_003f, 0],
    [0x0000_0004, 2, 0x7c00_4143, 0x03c0_003f, 0x0000_03ff, 0],
    [0x0000_0004, 3, 0x7c0f_c163, 0x0280_003f, 0x0000_bfff, 4],
    [0x0000_0007, 0, 0, only(0xd39f_fffb, Implemented.leaf7Ebx), only(0x0000_0008, Implemented.leaf7Ecx), 0],
    // Sizes are those of the states that are left: legacy area and header.
    [0x0000_000d, 0, only(0x0000_02ff, Implemented.leaf13Eax), 0x0000_0240, 0x0000_0240, 0],
    [0x0000_000d, 1, only(0x0000_000f, Implemented.leaf13Sub1Eax), 0x0000_0240, 0, 0],
    [0x8000_0000, 0, 0x8000_0008, 0, 0, 0],
    [
      0x8000_0001,
      0,
      0,
      0,
      only(0x0000_0121, Implemented.extended1Ecx),
      only(0x2c10_0800, Implemented.extended1Edx),
    ],
    [0x8000_0002, 0, 0x6574_6e49, 0x2952_286c, 0x6f65_5820, 0x2952_286e],
    [0x8000_0003, 0, 0x616c_5020, 0x756e_6974, 0x3138_206d, 0x4320_3036],
    [0x8000_0004, 0, 0x4020_5550, 0x312e_3220, 0x7a48_4730, 0],
    [0x8000_0006, 0, 0, 0, 0x0100_6040, 0],
    [0x8000_0007, 0, 0, 0, 0, only(0x0000_0100, Implemented.extended7Edx)],
    [0x8000_0008, 0, 0x0000_302e, 0, 0, 0],
  ],
  defaults: {
    ibpbEntry: false,
    rsbOverwrite: true,
    specCtrlWrite: true,
    verw: false,
    bhbClear: false,
    l1dFlush: true,
    execSp: false,
    bhiDisS: false,
    note:
      "Xen c447b7308b, no spec-ctrl= given, updated microcode. RSB overwrite: always for HVM. SPEC_CTRL: written on " +
      "every exit where IBRSB is enumerated. L1D flush on entry: the part is vulnerable to L1TF; for HAP guests it is " +
      "an entry of the VM-entry MSR load list. VERW (MDS): the flush does its work where MD_CLEAR is enumerated without " +
      "FB_CLEAR, as on parts that had buffer clearing for MDS; with spec-ctrl=no-l1d-flush VERW is on instead. BHB: " +
      "Xen takes BHI to affect only parts with eIBRS, which this one lacks. Executable EPT superpages: IF_PSCHANGE_MC_NO is not enumerated, so CVE-2018-12207 " +
      "affects the part (XSA-304).",
  },
};
