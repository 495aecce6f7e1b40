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

const DUMP = "InstLatx64 register dump GenuineIntel00806F8_SapphireRapids_06 (Xeon w9-3475X)";
const INSTRUCTIONS =
  "InstLatx64 GenuineIntel0090672_AlderLake_01_BC_InstLatX64 (Core i9-12900K, Golden Cove, same core family; TSC ticks)";
const LATENCY = "InstLatx64 GenuineIntel0090672_AlderLake_01_BC_NewMemLat (Core i9-12900K, same core family)";
const EXIT_ANATOMY =
  '"exit-anatomy" measurements of the Composite/Errand project (Platinum 8160 at 2.1 GHz, turbo and SMT off)';

/** Intel Xeon w9-3475X: Sapphire Rapids (Golden Cove cores), 36 cores, DDR5-4800. */
export const sapphireRapids: ProcessorProfile = {
  id: "sapphire-rapids",
  name: "Intel Xeon w9-3475X (Sapphire Rapids)",
  vendor: "intel",
  frequency: vendor(2.2, "GHz", `${DUMP}: base frequency, CPUID 16h; turbo (4.8 GHz) not modelled`),
  timing: {
    issue: estimate(
      0.45,
      "cycles",
      [0.2, 1],
      "1 / sustained IPC of integer code with no miss, mispredict, fence or atomic (those are charged beside it): geometric mean of 1/5 (tight integer loops on five ALUs) and 1 (a chain of one-cycle operations). Rename of 6 a cycle is only a bound. The same number prices guest and hypervisor instructions.",
    ),
    multiply: measured(3, "cycles", `${INSTRUCTIONS}: IMUL r64, r64 latency`),
    divide32: measured(14.9, "cycles", `${INSTRUCTIONS}: DIV r32 64/32b latency`),
    divide64: measured(17.9, "cycles", `${INSTRUCTIONS}: DIV r64 128/64b latency`),
    branchMispredict: estimate(
      17,
      "cycles",
      [15, 19],
      "about 17 reported for Golden Cove; not re-read in a vendor document",
    ),
    branchResteer: INTEL.branchResteer,
    atomic: measured(17.9, "cycles", `${INSTRUCTIONS}: LOCK ADD [m64], r64 latency, line in L1D; XCHG 16.9`),
    lfence: measured(12, "cycles", `${INSTRUCTIONS}: LFENCE`),
    mfence: measured(38, "cycles", `${INSTRUCTIONS}: MFENCE`),
    serialise: estimate(
      50,
      "cycles",
      [20, 100],
      "other serialising instructions: between LFENCE (12) and CPUID leaf 0 (123), about MFENCE (38)",
    ),
    cpuid: measured(123, "cycles", `${INSTRUCTIONS}: CPUID leaf 0; leaf 1 takes 1,486`),
    rdtsc: measured(25.9, "cycles", `${INSTRUCTIONS}: RDTSC throughput`),
    pause: measured(160, "cycles", `${INSTRUCTIONS}: PAUSE, 159.9`),
    wrmsr: ANY_PART.wrmsr,
    rdmsr: ANY_PART.rdmsr,
    wrmsrSpecCtrl: estimate(
      200,
      "cycles",
      [80, 500],
      "no published figure for this part; geometric mean of the range, whose end is what legacy IBRS costs on Skylake-SP",
    ),
    ibpb: estimate(
      1500,
      "cycles",
      [500, 4000],
      `no published figure for this part; "order of 1,500" on Skylake-SP: ${EXIT_ANATOMY}`,
    ),
    verw: estimate(
      30,
      "cycles",
      [10, 60],
      "clears no buffers on this part (MDS_NO and FB_CLEAR not needed): a microcoded segment check that reads the GDT",
    ),
    cliSti: ANY_PART.cliSti,
    clgiStgi: INTEL.clgiStgi,
    vmread: INTEL.vmread,
    vmwrite: INTEL.vmwrite,
    vmentry: estimate(
      338,
      "cycles",
      [226, 500],
      `no published figure for this part: half of VM exit + VMRESUME = 676 as on Skylake-SP: ${EXIT_ANATOMY}`,
    ),
    vmexit: estimate(338, "cycles", [226, 500], "the other half of the pair of 676, see vmentry"),
    movCr3: estimate(
      230,
      "cycles",
      [100, 300],
      `no published figure for this part; about 230 on Skylake-SP: ${EXIT_ANATOMY}`,
    ),
    invlpg: estimate(
      200,
      "cycles",
      [80, 300],
      "no published figure for this part; about 200 on Skylake: D. Hansen, lkml 2017",
    ),
    farTransfer: ANY_PART.farTransfer,
    interruptDelivery: ANY_PART.interruptDelivery,
    stringStart: INTEL.stringStart,
    stringPerLine: derived(
      0.55,
      "cycles",
      `64 / 116 bytes a cycle: ${INSTRUCTIONS}, REP MOVSB/Q in L1D; REP STOS is 61 bytes a cycle`,
    ),
    portIo: INTEL.portIo,
    l1dFlush: estimate(
      3000,
      "cycles",
      [1000, 5000],
      `not needed on this part (RDCL_NO); 2,076 for 32 KiB on Skylake-SP by ablation: ${EXIT_ANATOMY}, in proportion to 48 KiB`,
    ),
  },
  predictor: {
    btbEntries: estimate(
      8192,
      "entries",
      [4096, 12288],
      "12k entries were announced for Golden Cove, not re-read; a power of two below it",
    ),
    patternEntries: ANY_PART.patternEntries,
    returnStack: estimate(24, "entries", [16, 32], "not published; Xen overwrites 32 on every part"),
  },
  memory: {
    l1i: {
      bytes: vendor(32768, "bytes", `${DUMP}, CPUID 4 subleaf 1`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 4 subleaf 1`),
      latency: INTEL.fetchLatency,
      replacement: "tree-plru",
    },
    l1d: {
      bytes: vendor(49152, "bytes", `${DUMP}, CPUID 4 subleaf 0`),
      ways: vendor(12, "ways", `${DUMP}, CPUID 4 subleaf 0`),
      latency: measured(5, "cycles", LATENCY),
      replacement: "tree-plru",
    },
    l2: {
      bytes: vendor(2097152, "bytes", `${DUMP}, CPUID 4 subleaf 2`),
      ways: vendor(16, "ways", `${DUMP}, CPUID 4 subleaf 2`),
      latency: measured(15, "cycles", `${LATENCY}, whose L2 has 1.25 MiB; 14-16 reported for this part`),
      replacement: "tree-plru",
    },
    l3: {
      bytes: derived(
        62914560,
        "bytes",
        `60 MiB = 15 ways x 65536 sets x 64: the largest power of two of sets in the real 82.5 MiB (90112 sets); ${DUMP}, CPUID 4 subleaf 3`,
      ),
      ways: vendor(15, "ways", `${DUMP}, CPUID 4 subleaf 3`),
      latency: estimate(
        94,
        "cycles",
        [70, 125],
        "70-125 reported for this mesh, not re-read; geometric mean. A 12900K (ring) measures 60-66",
      ),
      replacement: "lru",
      policy: "non-inclusive",
    },
    dramLatency: estimate(
      257,
      "cycles",
      [242, 275],
      "110-125 ns reported for Sapphire Rapids, local, at 2.2 GHz (117 ns); a 12900K measures 95 ns",
    ),
    overlap: {
      load: estimate(
        0.5,
        "ratio",
        [0.2, 0.8],
        "share of a load miss hidden by a 512-entry window: dependent loads hide nothing, independent ones nearly all",
      ),
      store: estimate(
        0.9,
        "ratio",
        [0.7, 1],
        "stores retire into a 114-entry queue and wait there, not in the core",
      ),
      fetch: ANY_PART.fetchOverlap,
    },
    l1Dtlb: [
      {
        entries: published(
          96,
          "entries",
          `96 in Intel's manual and CPUID 18h of a 12900K, whose chase shows no miss at 96 pages: ${LATENCY}; ${DUMP}, CPUID 18h, says 64 (loads; the 16 store entries are not modelled)`,
        ),
        ways: published(6, "ways", "6 in Intel's manual and CPUID 18h of a 12900K; this dump says 4"),
        pages: ["4k"],
        replacement: "lru",
      },
      {
        entries: vendor(32, "entries", `${DUMP}, CPUID 18h subleaf 5`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 18h subleaf 5`),
        pages: ["2m"],
        replacement: "lru",
      },
      {
        entries: vendor(8, "entries", `${DUMP}, CPUID 18h subleaf 6`),
        ways: vendor(8, "ways", `${DUMP}, CPUID 18h subleaf 6: fully associative`),
        pages: ["1g"],
        replacement: "lru",
      },
    ],
    l1Itlb: [
      {
        entries: vendor(256, "entries", `${DUMP}, CPUID 18h subleaf 1`),
        ways: vendor(8, "ways", `${DUMP}, CPUID 18h subleaf 1`),
        pages: ["4k"],
        replacement: "lru",
      },
      {
        entries: vendor(32, "entries", `${DUMP}, CPUID 18h subleaf 2`),
        ways: vendor(8, "ways", `${DUMP}, CPUID 18h subleaf 2`),
        pages: ["2m"],
        replacement: "lru",
      },
    ],
    l2Dtlb: [
      {
        entries: derived(
          2048,
          "entries",
          `1,024 for 4 KiB and 2 MiB and 1,024 for 4 KiB and 1 GiB: ${DUMP}, CPUID 18h subleaves 7 and 8; one array here, which gives 2 MiB pages twice what they have`,
        ),
        ways: derived(16, "ways", `8 in each half: ${DUMP}, CPUID 18h subleaves 7 and 8`),
        pages: ["4k", "2m"],
        replacement: "lru",
      },
      {
        entries: vendor(1024, "entries", `${DUMP}, CPUID 18h subleaf 8; not shared with 4 KiB pages here`),
        ways: vendor(8, "ways", `${DUMP}, CPUID 18h subleaf 8`),
        pages: ["1g"],
        replacement: "lru",
      },
    ],
    l2Itlb: [],
    l2TlbLatency: derived(7, "cycles", `22 - 15: ${LATENCY}, 512 KiB against 128 KiB of one load a page`),
    pagingStructureCaches: INTEL_PAGING_STRUCTURE_CACHES,
    nestedPagingStructureCaches: INTEL_NESTED_PAGING_STRUCTURE_CACHES,
    nestedTlb: INTEL_NESTED_TLB,
    physicalAddressBits: vendor(46, "bits", `${DUMP}, CPUID 80000008 EAX = 0x392e`),
  },
  // Real register values, cut down to what the engine implements.
  cpuid: [
    [0x0000_0000, 0, 0x0000_000d, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
    [
      0x0000_0001,
      0,
      0x0008_06f8,
      0x0080_0800,
      only(0x7ffe_fbff, Implemented.leaf1Ecx),
      only(0xbfeb_fbff, Implemented.leaf1Edx),
    ],
    [0x0000_0002, 0, 0x00fe_ff01, 0x0000_00f0, 0, 0],
    [0x0000_0004, 0, 0xfc00_4121, 0x02c0_003f, 0x0000_003f, 0],
    [0x0000_0004, 1, 0xfc00_4122, 0x01c0_003f, 0x0000_003f, 0],
    [0x0000_0004, 2, 0xfc00_4143, 0x03c0_003f, 0x0000_07ff, 0],
    [0x0000_0004, 3, 0xfc1f_c163, 0x0380_003f, 0x0001_5fff, 4],
    [0x0000_0007, 0, 0, only(0xf3bf_bffb, Implemented.leaf7Ebx), only(0xbb41_7fee, Implemented.leaf7Ecx), 0],
    // Sizes are those of the states that are left: legacy area and header.
    [0x0000_000d, 0, only(0x0006_02e7, Implemented.leaf13Eax), 0x0000_0240, 0x0000_0240, 0],
    [0x0000_000d, 1, only(0x0000_001f, Implemented.leaf13Sub1Eax), 0x0000_0240, 0, 0],
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
    [0x8000_0003, 0, 0x2d39_7720, 0x3537_3433, 0x0000_0058, 0],
    [0x8000_0004, 0, 0, 0, 0, 0],
    [0x8000_0006, 0, 0, 0, 0x0800_7040, 0],
    [0x8000_0007, 0, 0, 0, 0, only(0x0000_0100, Implemented.extended7Edx)],
    [0x8000_0008, 0, 0x0000_392e, only(0x0000_0200, Implemented.extended8Ebx), 0, 0],
  ],
  defaults: {
    ibpbEntry: false,
    rsbOverwrite: true,
    specCtrlWrite: true,
    verw: false,
    bhbClear: false,
    l1dFlush: false,
    execSp: true,
    bhiDisS: true,
    note:
      "Xen c447b7308b, no spec-ctrl= given, updated microcode. RSB overwrite: always for HVM. SPEC_CTRL: written on " +
      "every exit where IBRSB is enumerated; enhanced IBRS stays set in it. BHB: BHI_DIS_S in SPEC_CTRL does the work " +
      "of the clearing sequence. VERW and L1D flush: the part enumerates RDCL_NO and MDS_NO. Executable " +
      "EPT superpages: the part enumerates IF_PSCHANGE_MC_NO (estimate: not in the dump, true of all later cores).",
  },
};
