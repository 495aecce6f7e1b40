import type { ProcessorProfile } from "../profile.js";
import { ANY_PART } from "./any-part.js";
import { Implemented, only } from "./implemented-features.js";
import { derived, estimate, measured, vendor } from "./quantity.js";
import { ZEN, ZEN_NESTED_TLB, ZEN_NESTED_UPPER_LEVELS, ZEN_TIMING, ZEN_UPPER_LEVELS } from "./zen.js";

const DUMP = "InstLatx64 register dump AuthenticAMD0A00F11_K19_Milan_02 (EPYC 7763)";
const INSTRUCTIONS = "InstLatx64 AuthenticAMD0A20F10_K19_Vermeer2_InstLatX64 (Ryzen 9 5900X, same core)";
const LATENCY = "InstLatx64 AuthenticAMD0A20F10_K19_Vermeer2_NewMemLat (Ryzen 9 5900X, same core)";

/** AMD EPYC 7763: Zen 3 (Milan), 64 cores, 32 MiB L3 per eight cores, one socket, DDR4-3200. */
export const epyc7763: ProcessorProfile = {
  id: "epyc-7763",
  name: "AMD EPYC 7763 (Zen 3)",
  vendor: "amd",
  frequency: vendor(2.45, "GHz", `${DUMP}, MSR C0010064: P0 = 24.50 x 100 MHz; boost not modelled`),
  timing: {
    issue: estimate(
      0.5,
      "cycles",
      [0.25, 1],
      "1 / sustained IPC of integer code with no miss, mispredict, fence or atomic (those are charged beside it): geometric mean of 1/4 (tight integer loops on four ALUs) and 1 (a chain of one-cycle operations). Dispatch of 6 a cycle is only a bound. The same number prices guest and hypervisor instructions.",
    ),
    multiply: measured(3, "cycles", `${INSTRUCTIONS}: IMUL r64, r64 latency`),
    divide32: measured(14, "cycles", `${INSTRUCTIONS}: DIV r32 64/32b (full)`),
    divide64: measured(20, "cycles", `${INSTRUCTIONS}: DIV r64 128/64b (full)`),
    branchMispredict: estimate(
      13,
      "cycles",
      [11, 18],
      "11-18, common case 13, as remembered from AMD Software Optimization Guide 56665, not re-read; the same on Zen 4",
    ),
    branchResteer: ZEN.branchResteer,
    atomic: measured(6.5, "cycles", `${INSTRUCTIONS}: LOCK ADD [m64], r64 latency, line in L1D; XCHG 7.8`),
    lfence: measured(10, "cycles", `${INSTRUCTIONS}: LFENCE`),
    mfence: measured(60.1, "cycles", `${INSTRUCTIONS}: MFENCE`),
    serialise: estimate(
      60,
      "cycles",
      [20, 150],
      "other serialising instructions: between LFENCE (10) and CPUID leaf 0 (128), about MFENCE (60)",
    ),
    cpuid: measured(128, "cycles", `${INSTRUCTIONS}: CPUID leaf 0; a 5800X measures 129`),
    rdtsc: measured(36, "cycles", `${INSTRUCTIONS}: RDTSC throughput`),
    pause: measured(65.1, "cycles", `${INSTRUCTIONS}: PAUSE`),
    ...ZEN_TIMING,
    stringPerLine: derived(
      1.08,
      "cycles",
      `64 / 59 bytes a cycle: ${INSTRUCTIONS}, REP MOVSB/Q in L1D; REP STOS is 29 bytes a cycle`,
    ),
    portIo: estimate(
      1500,
      "cycles",
      [300, 5000],
      "a port access that reaches a device: about 0.6 us; guests are intercepted before it",
    ),
    l1dFlush: ZEN.l1dFlush,
  },
  predictor: {
    btbEntries: estimate(
      6656,
      "entries",
      [4096, 7168],
      "second-level BTB of 6.5k entries as remembered from press reports on Zen 3, not re-read; Zen 4 has 7k",
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
      latency: measured(4, "cycles", LATENCY),
      replacement: "tree-plru",
    },
    l2: {
      bytes: vendor(524288, "bytes", `${DUMP}, CPUID 8000001D subleaf 2`),
      ways: vendor(8, "ways", `${DUMP}, CPUID 8000001D subleaf 2`),
      latency: measured(12, "cycles", `${LATENCY}: 64-byte stride, 48 KiB to 256 KiB`),
      replacement: "tree-plru",
    },
    l3: {
      bytes: vendor(33554432, "bytes", `${DUMP}, CPUID 8000001D subleaf 3: 32 MiB for each eight cores`),
      ways: vendor(16, "ways", `${DUMP}, CPUID 8000001D subleaf 3`),
      latency: measured(50, "cycles", `${LATENCY}: 46-51, 64-byte stride, 1.5 MiB to 16 MiB`),
      replacement: "tree-plru",
      policy: "victim",
    },
    dramLatency: estimate(
      257,
      "cycles",
      [213, 294],
      "no local figure for this part: between 87 ns, which a 5900X measures, and 120 ns, believed to be the most of a server I/O die, at 2.45 GHz (105 ns)",
    ),
    overlap: {
      load: estimate(
        0.5,
        "ratio",
        [0.2, 0.8],
        "share of a load miss hidden by a 256-entry window: dependent loads hide nothing, independent ones nearly all",
      ),
      store: ZEN.storeOverlap,
      fetch: ANY_PART.fetchOverlap,
    },
    l1Dtlb: [
      {
        entries: vendor(64, "entries", `${DUMP}, CPUID 80000005 and 80000019`),
        ways: vendor(64, "ways", `${DUMP}: fully associative`),
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
        entries: vendor(2048, "entries", `${DUMP}, CPUID 80000006`),
        ways: estimate(
          16,
          "ways",
          [8, 16],
          "16 as remembered from AMD Software Optimization Guide 56665, not re-read; CPUID says 8-way (4 KiB) and 4-way (2 MiB)",
        ),
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
    l2TlbLatency: derived(5, "cycles", `20 - 15: ${LATENCY}, 384 KiB against 128 KiB of one load a page`),
    pagingStructureCaches: [
      ZEN_UPPER_LEVELS,
      {
        levels: [2],
        entries: estimate(
          512,
          "entries",
          [64, 2048],
          "PDEs share the 2048-entry L2 DTLB (Chips and Cheese on Zen); a separate array of about the geometric mean of 64 and 2048 stands for their share",
        ),
        ways: estimate(8, "ways", [4, 16], "a share of the ways of the L2 DTLB"),
      },
    ],
    nestedPagingStructureCaches: [
      ZEN_NESTED_UPPER_LEVELS,
      {
        levels: [2],
        entries: estimate(128, "entries", [16, 2048], "nested PDEs: not published; a share of the L2 DTLB"),
        ways: estimate(8, "ways", [4, 16], "a share of the ways of the L2 DTLB"),
      },
    ],
    nestedTlb: ZEN_NESTED_TLB,
    physicalAddressBits: vendor(48, "bits", `${DUMP}, CPUID 80000008 EAX = 0x30`),
  },
  // Real register values, cut down to what the engine implements.
  cpuid: [
    [0x0000_0000, 0, 0x0000_000d, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
    [
      0x0000_0001,
      0,
      0x00a0_0f11,
      0x0040_0800,
      only(0x7eda_320b, Implemented.leaf1Ecx),
      only(0x178b_fbff, Implemented.leaf1Edx),
    ],
    [0x0000_0007, 0, 0, only(0x219c_97a9, Implemented.leaf7Ebx), only(0x0040_068c, Implemented.leaf7Ecx), 0],
    // Sizes are those of the states that are left: legacy area and header.
    [0x0000_000d, 0, only(0x0000_0207, Implemented.leaf13Eax), 0x0000_0240, 0x0000_0240, 0],
    [0x0000_000d, 1, only(0x0000_000f, Implemented.leaf13Sub1Eax), 0x0000_0240, 0, 0],
    [0x8000_0000, 0, 0x8000_0021, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
    [
      0x8000_0001,
      0,
      0x00a0_0f11,
      0x4000_0000,
      only(0x75c2_37ff, Implemented.extended1Ecx),
      only(0x2fd3_fbff, Implemented.extended1Edx),
    ],
    [0x8000_0002, 0, 0x2044_4d41, 0x4359_5045, 0x3637_3720, 0x3436_2033],
    [0x8000_0003, 0, 0x726f_432d, 0x7250_2065, 0x7365_636f, 0x2072_6f73],
    [0x8000_0004, 0, 0x2020_2020, 0x2020_2020, 0x2020_2020, 0x0020_2020],
    [0x8000_0005, 0, 0xff40_ff40, 0xff40_ff40, 0x2008_0140, 0x2008_0140],
    [0x8000_0006, 0, 0x4800_2200, 0x6800_4200, 0x0200_6140, 0x0800_9140],
    [0x8000_0007, 0, 0, 0x0000_003b, 0, only(0x0000_6799, Implemented.extended7Edx)],
    // Threads (ECX) are left to the hypervisor's policy; EBX carries the mitigation bits of the real part.
    [0x8000_0008, 0, 0x0000_3030, only(0x91be_f75f, Implemented.extended8Ebx), 0, 0],
    [0x8000_000a, 0, 0x0000_0001, 0x0000_8000, 0, only(0x119b_9cff, Implemented.svmEdx)],
    [0x8000_0019, 0, 0xf040_f040, 0xf040_0000, 0, 0],
    [0x8000_001d, 0, 0x0000_0121, 0x01c0_003f, 0x0000_003f, 0],
    [0x8000_001d, 1, 0x0000_0122, 0x01c0_003f, 0x0000_003f, 0],
    [0x8000_001d, 2, 0x0000_0143, 0x01c0_003f, 0x0000_03ff, 2],
    [0x8000_001d, 3, 0x0001_c163, 0x03c0_003f, 0x0000_7fff, 1],
    // LFENCE serialises; no automatic IBRS, SRSO_NO and IBPB_BRTYPE clear at microcode 0x0a00111d.
    [0x8000_0021, 0, 0x0000_204d, 0, 0, 0],
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
      "microcode older than August 2023 (such as 0x0a00111d) the probe fails and it stays off. RSB overwrite: " +
      "always for HVM. SPEC_CTRL is written only if it differs. VERW, BHB and L1D flush: not affected.",
  },
};
