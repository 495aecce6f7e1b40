import type { ArmProfile } from "../arm-profile.js";
import { ANY_PART } from "./any-part.js";
import { derived, estimate, published, vendor } from "./quantity.js";

const TRM = "Cortex-A76 Core Technical Reference Manual A5 (WikiChip: Neoverse N1 is almost identical to it)";
const WIKICHIP = "WikiChip, Neoverse N1 microarchitecture";
const ALTRA = "AnandTech, The Ampere Altra Review (2020-12): 64 KiB L1, 1 MiB L2, 32 MiB system level cache";
const GRAVITON = "AnandTech, Graviton2 review (2020-03), the same core";

/** Ampere Altra Q80-30: Neoverse N1 cores, 32 MiB system level cache in a CMN-600 mesh, DDR4-3200. */
export const neoverseN1: ArmProfile = {
  id: "neoverse-n1",
  name: "Ampere Altra Q80-30 (Neoverse N1)",
  frequency: published(
    3.0,
    "GHz",
    "the part number Q80-30: 80 cores, 3.0 GHz; AnandTech, The Ampere Altra Review",
  ),
  timing: {
    issue: estimate(
      0.5,
      "cycles",
      [0.25, 1],
      "1 / sustained IPC of integer code with no miss, mispredict, barrier or atomic: geometric mean of 1/4 (four instructions decoded a cycle) and 1 (a chain of one-cycle operations), as on the x86 profiles",
    ),
    branchMispredict: published(11, "cycles", "LLVM's scheduling model of Neoverse N1: MispredictPenalty 11"),
    exclusive: estimate(
      12,
      "cycles",
      [6, 30],
      "no published figure for an uncontended LDXR/STXR pair: a load (4), a dependent operation and a store-exclusive that waits for its line; x86 LOCKed operations take 7 to 20",
    ),
    dmb: estimate(
      8,
      "cycles",
      [2, 30],
      "no published figure for DMB ISH with an empty store buffer; up to the drain of a few stores to L1D",
    ),
    dsb: estimate(
      16,
      "cycles",
      [8, 60],
      "no published figure; DMB and a wait for all instructions before it to complete",
    ),
    isb: estimate(
      32,
      "cycles",
      [15, 70],
      "no published cycle count: fetch stops until the back end is empty and starts again (an 11-stage pipeline); spin-loop authors report that it delays N1 about as long as PAUSE delays x86, some 40 cycles (rust-lang/rust #84725, aerospike-common #17)",
    ),
    sysregRead: estimate(
      6,
      "cycles",
      [1, 20],
      "no published figure for MRS of PAR_EL1, SCTLR_EL1, TTBRn_EL1",
    ),
    sysregWrite: estimate(6, "cycles", [1, 20], "no published figure for MSR of PAR_EL1, ELR_EL2, SPSR_EL2"),
    at: estimate(
      20,
      "cycles",
      [8, 60],
      "no published figure for AT S12E1R over the look-up and walk that it starts: issued alone to the load/store side and answered through PAR_EL1; facts sheet: 20 to 60 with a cached translation, ISB included",
    ),
    tlbi: estimate(30, "cycles", [10, 200], "no published figure for issuing one TLBI"),
    dsbAfterBroadcast: estimate(
      600,
      "cycles",
      [150, 3000],
      "no published figure: a message to every core of an 80-core mesh at 1.8 GHz and back, behind what those cores are doing",
    ),
    exceptionEntry: estimate(
      70,
      "cycles",
      [30, 150],
      "EL1 to EL2 trap on X-Gene: 68-76 cycles (NEVE, SOSP 2017, section 5); none published for N1",
    ),
    exceptionReturn: estimate(
      65,
      "cycles",
      [20, 150],
      "ERET on X-Gene: 65 cycles (NEVE, SOSP 2017, section 5); none published for N1",
    ),
  },
  memory: {
    l1i: {
      bytes: published(65536, "bytes", ALTRA),
      ways: published(4, "ways", `${WIKICHIP}: 4-way`),
      latency: estimate(4, "cycles", [1, 5], "hidden by fetch ahead on a hit; only misses are charged"),
      replacement: "tree-plru",
    },
    l1d: {
      bytes: published(65536, "bytes", ALTRA),
      ways: published(4, "ways", `${WIKICHIP}: 4-way`),
      latency: published(4, "cycles", `${GRAVITON}: 4 cycles; LLVM's scheduling model: 4`),
      replacement: "tree-plru",
    },
    l2: {
      bytes: published(1048576, "bytes", ALTRA),
      ways: published(8, "ways", `${WIKICHIP}: 8-way`),
      latency: published(11, "cycles", `${GRAVITON}: 11 cycles for the 1 MiB option`),
      replacement: "tree-plru",
    },
    l3: {
      bytes: published(33554432, "bytes", ALTRA),
      ways: estimate(
        16,
        "ways",
        [8, 16],
        "not stated for the slices of this mesh; 16-way as the core's optional L3 is (WikiChip)",
      ),
      latency: estimate(
        95,
        "cycles",
        [75, 130],
        "about 30 ns through a mesh at 1.8 GHz to a slice that may be far away, at 3.0 GHz; no table read",
      ),
      replacement: "tree-plru",
      policy: "victim",
    },
    dramLatency: derived(
      243,
      "cycles",
      `81 ns without TLB misses on Graviton2 (${GRAVITON}; Arm's own 83 ns) at 3.0 GHz; an Altra's mesh is larger`,
      [240, 330],
    ),
    overlap: {
      load: estimate(
        0.5,
        "ratio",
        [0.2, 0.8],
        "share of a load miss hidden by a 128-entry window: dependent loads hide nothing, independent ones nearly all",
      ),
      store: estimate(
        0.75,
        "ratio",
        [0.5, 0.95],
        "stores wait in the store buffer, and only a full one stalls",
      ),
      fetch: ANY_PART.fetchOverlap,
    },
    l1Dtlb: [
      {
        entries: vendor(48, "entries", `${TRM}.2.2: fully associative`),
        ways: vendor(48, "ways", `${TRM}.2.2`),
        // A 1 GiB block is kept as 512 MiB pieces there, as 2 MiB ones here.
        pages: ["4k", "2m"],
        replacement: "lru",
      },
    ],
    l1Itlb: [
      {
        entries: vendor(48, "entries", `${TRM}.2.1: fully associative`),
        ways: vendor(48, "ways", `${TRM}.2.1`),
        pages: ["4k", "2m"],
        replacement: "lru",
      },
    ],
    l2Dtlb: [
      {
        entries: vendor(1280, "entries", `${TRM}.2.3: shared by instructions and data, and by walk entries`),
        ways: vendor(5, "ways", `${TRM}.2.3`),
        pages: ["4k", "2m", "1g"],
        replacement: "lru",
      },
    ],
    l2Itlb: [],
    l2TlbLatency: vendor(3, "cycles", `${TRM}.2.3: usually three cycles, more for another page size`),
    pagingStructureCaches: [
      {
        levels: [4, 3, 2],
        entries: estimate(
          64,
          "entries",
          [16, 1280],
          "walk entries share the L2 TLB; a separate array stands for their share (a Cortex-A55 has 64 of its own)",
        ),
        ways: estimate(4, "ways", [4, 16], "as a Cortex-A55's walk cache"),
      },
    ],
    nestedPagingStructureCaches: [
      {
        levels: [4, 3, 2],
        entries: estimate(
          32,
          "entries",
          [1, 256],
          `whether stage 2 table descriptors are kept apart is not stated; ${TRM}.2.3: "intermediate PAs obtained during a walk"`,
        ),
        ways: estimate(4, "ways", [1, 16], "as above"),
      },
    ],
    nestedTlb: {
      entries: estimate(
        64,
        "entries",
        [16, 1280],
        `IPA to PA entries share the L2 TLB (${TRM}.2.3); a Cortex-A55 has 64 of its own`,
      ),
      ways: estimate(4, "ways", [4, 5], "as a Cortex-A55's IPA cache"),
    },
    physicalAddressBits: vendor(
      48,
      "bits",
      "Neoverse N1 Technical Reference Manual, ID_AA64MMFR0_EL1.PARange",
    ),
  },
  // The manual: intermediate physical addresses are kept for 2 MiB and 1 GiB with the 4 KiB granule.
  ipaCacheSmallest: "2m",
};

/** All Arm processors that come with the package. */
export const ARM_PROFILES: readonly ArmProfile[] = [neoverseN1];

/** @returns the Arm profile with that id, or undefined */
export function findArmProfile(id: string): ArmProfile | undefined {
  return ARM_PROFILES.find((profile) => profile.id === id);
}
