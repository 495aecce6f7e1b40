import type { ProcessorProfile, Quantity } from "../profile.js";
import { ANY_PART } from "./any-part.js";
import { estimate, published, vendor } from "./quantity.js";

type Timing = ProcessorProfile["timing"];
type Memory = ProcessorProfile["memory"];

const NOT_ON_SVM = "no such instruction outside VMX; never charged on this part";

/** Prices of instructions and events that are not known apart for Zen 3 and Zen 4. */
export const ZEN_TIMING: Pick<
  Timing,
  | "wrmsr"
  | "rdmsr"
  | "wrmsrSpecCtrl"
  | "ibpb"
  | "verw"
  | "cliSti"
  | "clgiStgi"
  | "vmread"
  | "vmwrite"
  | "vmentry"
  | "vmexit"
  | "movCr3"
  | "invlpg"
  | "farTransfer"
  | "interruptDelivery"
  | "stringStart"
> = {
  wrmsr: ANY_PART.wrmsr,
  rdmsr: ANY_PART.rdmsr,
  wrmsrSpecCtrl: estimate(
    140,
    "cycles",
    [80, 250],
    "no published figure for this part; geometric mean of the range",
  ),
  ibpb: estimate(
    900,
    "cycles",
    [200, 4000],
    "no sourced figure for any Zen part; geometric mean of the range to sweep. The refill of the predictor afterwards is charged where it happens.",
  ),
  verw: estimate(
    30,
    "cycles",
    [10, 60],
    "clears no buffers on this part: a microcoded segment check that reads the GDT",
  ),
  cliSti: ANY_PART.cliSti,
  clgiStgi: estimate(
    40,
    "cycles",
    [25, 60],
    "no published figure; geometric mean of the range believed for one CLGI or STGI",
  ),
  vmread: vendor(0, "cycles", NOT_ON_SVM),
  vmwrite: vendor(0, "cycles", NOT_ON_SVM),
  vmentry: estimate(
    487,
    "cycles",
    [350, 690],
    "half of VMRUN + #VMEXIT = 974, for which neither a Zen 3 nor a Zen 4 figure is published: geometric mean of a raw hypercall on Zen 1 (697: Nelson et al., SOSP 2017, hypercall column) and the VMRUN window of an SEV-ES guest on an EPYC of 2020 (1,344-1,376: M. Roth, lkml 2020-12, with more state switched than for a plain guest). The split in halves is an estimate too.",
  ),
  vmexit: estimate(487, "cycles", [350, 690], "the other half of VMRUN + #VMEXIT, see vmentry"),
  movCr3: estimate(
    200,
    "cycles",
    [100, 300],
    "no published figure for this part; Skylake-SP measures about 230",
  ),
  invlpg: estimate(
    150,
    "cycles",
    [80, 300],
    "no published figure for this part; Skylake is reported at about 200",
  ),
  farTransfer: ANY_PART.farTransfer,
  interruptDelivery: ANY_PART.interruptDelivery,
  stringStart: estimate(
    25,
    "cycles",
    [10, 50],
    "microcode entry of a REP string operation; no published figure",
  ),
};

/** More numbers that are not known apart for Zen 3 and Zen 4. */
export const ZEN: Readonly<
  Record<"branchResteer" | "l1dFlush" | "returnStack" | "fetchLatency" | "storeOverlap", Quantity>
> = {
  branchResteer: estimate(
    8,
    "cycles",
    [4, 13],
    "a target found at decode, before execution: less than the mispredict penalty of 13, more than the fetch and decode stages alone",
  ),
  l1dFlush: estimate(
    1000,
    "cycles",
    [200, 4000],
    "FLUSH_CMD exists on this part but is not needed against L1TF; no published figure",
  ),
  returnStack: published(32, "entries", "32-entry return stack: AnandTech on Zen; no change reported since"),
  fetchLatency: estimate(
    4,
    "cycles",
    [3, 5],
    "taken as the data side's; a hit is part of instruction issue, a miss pays the outer level's latency less this",
  ),
  storeOverlap: estimate(
    0.9,
    "ratio",
    [0.7, 1],
    "stores retire into a 64-entry queue and wait there, not in the core",
  ),
};

/** The PDC: upper levels of the native walk. */
export const ZEN_UPPER_LEVELS: Memory["pagingStructureCaches"][number] = {
  levels: [4, 3],
  entries: published(64, "entries", "64-entry PDC holding PML4E and PDPTE: Chips and Cheese on Zen"),
  ways: estimate(64, "ways", [4, 64], "associativity not published; fully associative like the L1 TLBs"),
};

/** The same of the host dimension of a nested walk. */
export const ZEN_NESTED_UPPER_LEVELS: Memory["nestedPagingStructureCaches"][number] = {
  levels: [4, 3],
  entries: estimate(
    32,
    "entries",
    [8, 64],
    "host dimension of the walk: not published; half of the 64-entry PDC",
  ),
  ways: estimate(32, "ways", [4, 64], "not published; fully associative like the PDC"),
};

export const ZEN_NESTED_TLB: Memory["nestedTlb"] = {
  entries: estimate(
    64,
    "entries",
    [16, 512],
    "guest-physical to host-physical translations of table pages: not published for Zen; 16 on an Opteron of 2008 (Bhargava et al., ASPLOS 2008)",
  ),
  ways: estimate(8, "ways", [4, 64], "not published"),
};
