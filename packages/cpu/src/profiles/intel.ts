import type { ProcessorProfile, Quantity } from "../profile.js";
import { estimate, vendor } from "./quantity.js";

type Memory = ProcessorProfile["memory"];

const NOT_ON_VMX = "no such instruction outside SVM; never charged on this part";

/** Numbers that are not known apart for Skylake-SP and Sapphire Rapids. */
export const INTEL: Readonly<
  Record<
    "branchResteer" | "clgiStgi" | "vmread" | "vmwrite" | "stringStart" | "portIo" | "fetchLatency",
    Quantity
  >
> = {
  branchResteer: estimate(
    9,
    "cycles",
    [5, 14],
    "a target found at decode, before execution: less than the mispredict penalty, more than fetch and decode alone",
  ),
  clgiStgi: vendor(0, "cycles", NOT_ON_VMX),
  vmread: estimate(28, "cycles", [20, 40], "no published figure; geometric mean of the range"),
  vmwrite: estimate(34, "cycles", [25, 45], "no published figure; geometric mean of the range"),
  stringStart: estimate(
    30,
    "cycles",
    [15, 60],
    "microcode entry of a REP string operation; no published figure",
  ),
  portIo: estimate(
    1500,
    "cycles",
    [300, 5000],
    "a port access that reaches a device: about 0.7 us; guests are intercepted before it",
  ),
  fetchLatency: estimate(
    5,
    "cycles",
    [3, 5],
    "5: the data side's of Golden Cove, and of Skylake-SP with complex addressing (4 without); a hit is part of instruction issue, a miss pays the outer level's latency less this",
  ),
};

export const INTEL_PAGING_STRUCTURE_CACHES: Memory["pagingStructureCaches"] = [
  {
    levels: [4],
    entries: estimate(4, "entries", [2, 4], "not published by Intel; 2-4 in the simulation literature"),
    ways: estimate(4, "ways", [2, 4], "fully associative, as in the simulation literature"),
  },
  {
    levels: [3],
    entries: estimate(4, "entries", [4, 16], "not published by Intel; 4 in the simulation literature"),
    ways: estimate(4, "ways", [4, 16], "fully associative, as in the simulation literature"),
  },
  {
    levels: [2],
    entries: estimate(32, "entries", [16, 64], "not published by Intel; 32 in the simulation literature"),
    ways: estimate(4, "ways", [4, 32], "not published by Intel"),
  },
];

/** Of the EPT dimension. */
export const INTEL_NESTED_PAGING_STRUCTURE_CACHES: Memory["nestedPagingStructureCaches"] = [
  {
    levels: [4, 3],
    entries: estimate(
      8,
      "entries",
      [4, 32],
      "guest-physical paging-structure entries: not published by Intel",
    ),
    ways: estimate(8, "ways", [4, 32], "not published by Intel; fully associative"),
  },
  {
    levels: [2],
    entries: estimate(32, "entries", [16, 64], "not published by Intel; as many as linear PDEs"),
    ways: estimate(4, "ways", [4, 32], "not published by Intel"),
  },
];

export const INTEL_NESTED_TLB: Memory["nestedTlb"] = {
  entries: estimate(
    32,
    "entries",
    [16, 512],
    "guest-physical mappings of table pages: not published by Intel; 16 on an Opteron of 2008 (Bhargava et al., ASPLOS 2008)",
  ),
  ways: estimate(4, "ways", [4, 32], "not published by Intel"),
};
