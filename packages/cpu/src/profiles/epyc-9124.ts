import type { ProcessorProfile } from "../profile.js";
import { ANY_PART } from "./any-part.js";
import { Implemented, only } from "./implemented-features.js";
import { derived, estimate, measured, published, vendor } from "./quantity.js";
import { ZEN, ZEN_NESTED_TLB, ZEN_NESTED_UPPER_LEVELS, ZEN_TIMING, ZEN_UPPER_LEVELS } from "./zen.js";

const DUMP = "InstLatx64 register dump AuthenticAMD0A10F11_K19_Genoa_02 (EPYC 9124)";
const INSTRUCTIONS =
  "InstLatx64 AuthenticAMD0A10F11_K19_Genoa_01_InstLatX64 (EPYC 9654, same core and stepping)";
const LATENCY = "InstLatx64 NewMemLat table (Threadripper PRO 7995WX, same core)";
const SOG = "AMD Software Optimization Guide 57647";

/** AMD EPYC 9124: Zen 4 (Genoa), 16 cores, 16 MiB L3 per four cores, one socket, DDR5-4800. */
export const epyc9124: ProcessorProfile = {
  id: "epyc-9124",
  name: "AMD EPYC 9124 (Zen 4)",
  vendor: "amd",
  frequency: vendor(3.0, "GHz", `${DUMP}, MSR C0010064: P0 = 30.00 x 100 MHz; boost (3.7 GHz) not modelled`),
  timing: {
    issue: estimate(
      0.5,
      "cycles",
      [0.25, 1],
      "1 / sustained IPC of integer code with no miss, mispredict, fence or atomic (those are charged beside it): geometric mean of 1/4 (tight integer loops on four ALUs) and 1 (a chain of one-cycle operations). Dispatch of 6 a cycle (AMD Software Optimization Guide 57647 2.9.8) is only a bound. The same number prices guest and hypervisor instructions.",
    ),
    multiply: measured(3, "cycles", `${INSTRUCTIONS}: IMUL r64, r64 latency`),
    divide32: measured(14.2, "cycles", `${INSTRUCTIONS}: DIV r32 64/32b (full)`),
    divide64: measured(20.2, "cycles", `${INSTRUCTIONS}: DIV r64 128/64b (full)`),
    branchMispredict: vendor(13, "cycles", `${SOG} 2.8: 11-18, common case 13`),
    branchResteer: ZEN.branchResteer,
    atomic: measured(7.4, "cycles", `${INSTRUCTIONS}: LOCK ADD [m64], r64 latency, line in L1D; XCHG 8.0`),
    lfence: measured(10.1, "cycles", `${INSTRUCTIONS}: LFENCE`),
    mfence: measured(58.8, "cycles", `${INSTRUCTIONS}: MFENCE`),
    serialise: estimate(
      60,
      "cycles",
      [20, 150],
      "other serialising instructions: between LFENCE (10.1) and CPUID leaf 0 (148), about MFENCE (58.8)",
    ),
    cpuid: measured(148, "cycles", `${INSTRUCTIONS}: CPUID leaf 0, 147.1-148.6`),
    rdtsc: measured(35.3, "cycles", `${INSTRUCTIONS}: RDTSC throughput`),
    pause: measured(66, "cycles", `${INSTRUCTIONS}: PAUSE, 65.7`),
    ...ZEN_TIMING,
    stringPerLine: derived(
      1.13,
      "cycles",
      `64 / 56.8 bytes a cycle: ${INSTRUCTIONS}, REP MOVSB/Q in L1D; REP STOS is 31 bytes a cycle`,
    ),
    portIo: estimate(
      1500,
      "cycles",
      [300, 5000],
      "a port access that reaches a device: about 0.5 us; guests are intercepted before it",
    ),
    l1dFlush: ZEN.l1dFlush,
  },
  predictor: {
    btbEntries: published(
      7168,
      "entries",
      "second-level BTB of 7k entries: AnandTech, Zen 4 execution pipeline",
    ),
    patternEntries: ANY_PART.patternEntries,
    returnStack: ZEN.returnStack,
  },
  memory: {
    l1i: {
      bytes: vendor(32768, "bytes", `${DUMP}, CPUID 8000001D subleaf 1`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 8000001D subleaf 1`),
      latency: ZEN.fetchLatency,
      replacement: "tree-plru",
    },
    l1d: {
      bytes: vendor(32768, "bytes", `${DUMP}, CPUID 8000001D subleaf 0`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 8000001D subleaf 0`),
      latency: measured(4, "cycles", `${LATENCY}; ${SOG} 2.6.2: 4 for integer loads`),
      replacement: "tree-plru",
    },
    l2: {
      bytes: vendor(1048576, "bytes", `${DUMP}, CPUID 8000001D subleaf 2`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 8000001D subleaf 2`),
      latency: measured(14, "cycles", `${LATENCY}; ${SOG}: at least 14`),
      replacement: "tree-plru",
    },
    l3: {
      bytes: vendor(16777216, "bytes", `${DUMP}, CPUID 8000001D subleaf 3: 16 MiB for each four cores`),
      ways: vendor(16, "ways", `${DUMP}, CPUID 8000001D subleaf 3`),
      latency: vendor(50, "cycles", `${SOG}: 50 on average; the 7995WX measures 50-53`),
      replacement: "tree-plru",
      policy: "victim",
    },
    dramLatency: estimate(
      338,
      "cycles",
      [315, 360],
      "105-120 ns local, DDR5-4800, at 3.0 GHz; a 7995WX (same I/O die class) measures 116 ns",
    ),
    overlap: {
      load: estimate(
        0.5,
        "ratio",
        [0.2, 0.8],
        "share of a load miss hidden by a 320-entry window: dependent loads hide nothing, independent ones nearly all",
      ),
      store: ZEN.storeOverlap,
      fetch: ANY_PART.fetchOverlap,
    },
    l1Dtlb: [
      {
        entries: vendor(72, "entries", `${DUMP}, CPUID 80000005 and 80000019`),
        ways: vendor(72, "ways", `${DUMP}: fully associative`),
        pages: ["4k", "2m", "1g"],
        replacement: "lru",
      },
    ],
    l1Itlb: [
      {
        entries: vendor(64, "entries", `${DUMP}, CPUID 80000005 and 80000019`),
        ways: vendor(64, "ways", `${DUMP}: fully associative`),
        pages: ["4k", "2m", "1g"],
        replacement: "lru",
      },
    ],
    l2Dtlb: [
      {
        entries: vendor(3072, "entries", `${DUMP}, CPUID 80000006; ${SOG} 2.7.2`),
        ways: vendor(24, "ways", `${SOG} 2.7.2; CPUID can only encode "8-way" (4 KiB) and "6-way" (2 MiB)`),
        pages: ["4k", "2m"],
        replacement: "lru",
      },
      {
        entries: vendor(64, "entries", `${DUMP}, CPUID 80000019 EBX`),
        ways: vendor(64, "ways", `${DUMP}, CPUID 80000019 EBX: fully associative`),
        pages: ["1g"],
        replacement: "lru",
      },
    ],
    l2Itlb: [
      {
        entries: vendor(512, "entries", `${DUMP}, CPUID 80000006`),
        ways: vendor(4, "ways", `${DUMP}, CPUID 80000006: 4-way for 4 KiB, 2-way for 2 MiB; one array here`),
        pages: ["4k", "2m"],
        replacement: "lru",
      },
    ],
    l2TlbLatency: derived(5, "cycles", `22 - 17: ${LATENCY}, 384 KiB against 128 KiB of one load a page`),
    pagingStructureCaches: [
      ZEN_UPPER_LEVELS,
      {
        levels: [2],
        entries: estimate(
          512,
          "entries",
          [64, 3072],
          "PDEs share the 3072-entry L2 DTLB (Chips and Cheese on Zen); a separate array of about the geometric mean of 64 and 3072 stands for their share",
        ),
        ways: estimate(8, "ways", [4, 24], "a share of the 24 ways of the L2 DTLB"),
      },
    ],
    nestedPagingStructureCaches: [
      ZEN_NESTED_UPPER_LEVELS,
      {
        levels: [2],
        entries: estimate(128, "entries", [16, 3072], "nested PDEs: not published; a share of the L2 DTLB"),
        ways: estimate(8, "ways", [4, 24], "a share of the 24 ways of the L2 DTLB"),
      },
    ],
    nestedTlb: ZEN_NESTED_TLB,
    physicalAddressBits: vendor(52, "bits", `${DUMP}, CPUID 80000008 EAX = 0x34`),
  },
  // Real register values, cut down to what the engine implements.
  cpuid: [
    [0x0000_0000, 0, 0x0000_000d, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
    [
      0x0000_0001,
      0,
      0x00a1_0f11,
      0x0020_0800,
      only(0x7efa_320b, Implemented.leaf1Ecx),
      only(0x178b_fbff, Implemented.leaf1Edx),
    ],
    [0x0000_0007, 0, 0, only(0xf1bf_97a9, Implemented.leaf7Ebx), only(0x0041_5fce, Implemented.leaf7Ecx), 0],
    // Sizes are those of the states that are left: legacy area and header.
    [0x0000_000d, 0, only(0x0000_02e7, Implemented.leaf13Eax), 0x0000_0240, 0x0000_0240, 0],
    [0x0000_000d, 1, only(0x0000_000f, Implemented.leaf13Sub1Eax), 0x0000_0240, 0, 0],
    [0x8000_0000, 0, 0x8000_0021, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
    [
      0x8000_0001,
      0,
      0x00a1_0f11,
      0x4000_0000,
      only(0x75c2_37ff, Implemented.extended1Ecx),
      only(0x2fd3_fbff, Implemented.extended1Edx),
    ],
    [0x8000_0002, 0, 0x2044_4d41, 0x4359_5045, 0x3231_3920, 0x3631_2034],
    [0x8000_0003, 0, 0x726f_432d, 0x7250_2065, 0x7365_636f, 0x2072_6f73],
    [0x8000_0004, 0, 0x2020_2020, 0x2020_2020, 0x2020_2020, 0x0020_2020],
    [0x8000_0005, 0, 0xff48_ff40, 0xff48_ff40, 0x2008_0140, 0x2008_0140],
    [0x8000_0006, 0, 0x5c00_2200, 0x6c00_4200, 0x0400_6140, 0x0200_9140],
    [0x8000_0007, 0, 0, 0, 0, only(0x0000_6799, Implemented.extended7Edx)],
    // Threads (ECX) are left to the hypervisor's policy; EBX carries the mitigation bits of the real part.
    [0x8000_0008, 0, 0x0000_3934, only(0x79be_f25f, Implemented.extended8Ebx), 0, 0],
    [0x8000_000a, 0, 0x0000_0001, 0x0000_8000, 0, only(0x1fbf_bcff, Implemented.svmEdx)],
    [0x8000_0019, 0, 0xf048_f040, 0xf040_0000, 0, 0],
    [0x8000_001d, 0, 0x0000_4121, 0x01c0_003f, 0x0000_003f, 0],
    [0x8000_001d, 1, 0x0000_4122, 0x01c0_003f, 0x0000_003f, 0],
    [0x8000_001d, 2, 0x0000_4143, 0x01c0_003f, 0x0000_07ff, 2],
    [0x8000_001d, 3, 0x0001_c163, 0x03c0_003f, 0x0000_3fff, 1],
    // LFENCE serialises, automatic IBRS; SRSO_NO and IBPB_BRTYPE clear at microcode 0x0a101111.
    [0x8000_0021, 0, 0x0006_2fcf, 0x0000_015c, 0, 0],
  ],
  defaults: {
    ibpbEntry: true,
    rsbOverwrite: true,
    specCtrlWrite: false,
    verw: false,
    bhbClear: false,
    l1dFlush: false,
    execSp: true,
    bhiDisS: false,
    note:
      "Xen c447b7308b, no spec-ctrl= given, updated microcode. IBPB on entry: family 19h is probed for SBPB, which " +
      "forces IBPB_BRTYPE; without SRSO_NO or SRSO_MSR_FIX that turns IBPB-on-entry for HVM on (XSA-434); with " +
      "microcode older than August 2023 (such as 0x0a101111) the probe fails and it stays off. RSB overwrite: the " +
      "comment in svm/entry.S says it is not needed with AutoIBRS, but this Xen never sets EFER.AIBRSE and forces " +
      "SC_RSB_HVM unless rsb=no-hvm. SPEC_CTRL is written only if it differs. VERW, BHB and L1D flush: not affected.",
  },
};
