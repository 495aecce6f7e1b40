import type { XenConfig } from "@hyperwalk/xen";
import type { AbiName, P2mPage } from "../../result.js";
import type { Experiments, LoopChoice } from "../experiments.js";
import type { Prediction, ValidationFigure } from "../figure.js";
import type { LoopBodyName } from "../loop-bodies.js";

/*
 * Instructions of Xen's paths, counted twice on a real Xen c447b7308b13 under instruction-counting emulators. Both counts have
 * some of the guest's own instructions in them, which are added to what is found here.
 */

const FIRST =
  "counted on real Xen under an emulator with SVM, first count (hardware domain, five MMIO handlers)";
const SECOND = "counted on real Xen under an emulator with SVM and VMX, second count (fewer MMIO handlers)";
/** The guest's own instructions in a count. */
const GUEST_FIRST = 9;
const GUEST_SECOND = 5;
const HANDLERS_FIRST = 5;
/** An estimate, by difference of the two counts. */
const HANDLERS_SECOND = 3;
/** The emulated processors had none of these. */
const COUNTED: XenConfig = {
  ibpbEntry: false,
  rsbOverwrite: true,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
  l1dFlush: false,
};
const UNKNOWN_HANDLERS = "how many MMIO handlers the domain had: three, by difference to the first count";

type Vendor = "SVM" | "VMX";
const MACHINES: Readonly<Record<Vendor, string>> = { SVM: "epyc-9124", VMX: "skylake-sp" };
const INTERFACES: Readonly<Record<AbiName & ("linear" | "physaddr" | "fastabi"), string>> = {
  linear: "linear",
  physaddr: "physical",
  fastabi: "registers only",
};

interface Count {
  readonly count: "first" | "second";
  readonly vendor: Vendor;
  readonly body: LoopBodyName;
  readonly abi?: keyof typeof INTERFACES;
  readonly published: number | readonly [number, number];
  /** Stages that were made from this count. */
  readonly calibrated: readonly string[];
  readonly rsbOverwrite?: false;
}

const BASE_PATH = ["stages of the path without an operation (SVM)"];
const VMX_SHARES = ["stages of the path without an operation (VMX: the sum; shares are estimates)"];
const COPY = ["stages of the guest copy, by parts of this count"];
const own = (name: string) => [`the operation's own stage (${name})`];

const COUNTS: readonly Count[] = [
  { count: "first", vendor: "SVM", body: "unknown hypercall", published: [641, 656], calibrated: BASE_PATH },
  {
    count: "first",
    vendor: "SVM",
    body: "unknown hypercall",
    published: [575, 597],
    calibrated: ["stage.NOPs in place of DO_OVERWRITE_RSB"],
    rsbOverwrite: false,
  },
  { count: "first", vendor: "SVM", body: "xen_version", published: 694, calibrated: own("version") },
  { count: "first", vendor: "SVM", body: "vcpu_op is_up", published: 710, calibrated: own("is_up") },
  { count: "first", vendor: "SVM", body: "set_timer_op", published: 798, calibrated: [] },
  { count: "first", vendor: "SVM", body: "sched_op yield", published: 3007, calibrated: own("yield") },
  {
    count: "first",
    vendor: "SVM",
    body: "get_runstate_info",
    abi: "linear",
    published: 5582,
    calibrated: COPY,
  },
  {
    count: "first",
    vendor: "SVM",
    body: "get_runstate_info",
    abi: "physaddr",
    published: 1922,
    calibrated: COPY,
  },
  {
    count: "first",
    vendor: "SVM",
    body: "get_runstate_info",
    abi: "fastabi",
    published: 758,
    calibrated: own("get_runstate_info"),
  },
  { count: "first", vendor: "SVM", body: "evtchn_send", abi: "linear", published: 5615, calibrated: COPY },
  { count: "first", vendor: "SVM", body: "evtchn_send", abi: "physaddr", published: 1952, calibrated: COPY },
  {
    count: "first",
    vendor: "SVM",
    body: "evtchn_send",
    abi: "fastabi",
    published: 741,
    calibrated: own("send"),
  },
  { count: "first", vendor: "SVM", body: "get_time", abi: "linear", published: 5511, calibrated: [] },
  { count: "first", vendor: "SVM", body: "get_time", abi: "physaddr", published: 1850, calibrated: [] },
  {
    count: "first",
    vendor: "SVM",
    body: "get_time",
    abi: "fastabi",
    published: 689,
    calibrated: own("get_time"),
  },
  { count: "second", vendor: "SVM", body: "unknown hypercall", published: 655, calibrated: [] },
  { count: "second", vendor: "SVM", body: "xen_version", published: 692, calibrated: [] },
  { count: "second", vendor: "SVM", body: "vcpu_op is_up", published: 709, calibrated: [] },
  {
    count: "second",
    vendor: "SVM",
    body: "get_runstate_info",
    abi: "linear",
    published: 5487,
    calibrated: ["how many MMIO handlers there were"],
  },
  {
    count: "second",
    vendor: "SVM",
    body: "get_runstate_info",
    abi: "physaddr",
    published: 1804,
    calibrated: ["how many MMIO handlers there were"],
  },
  {
    count: "second",
    vendor: "SVM",
    body: "CPUID(0)",
    published: 647,
    calibrated: ["stage.guest_cpuid"],
  },
  {
    count: "second",
    vendor: "SVM",
    body: "CPUID(0x40000000)",
    published: 664,
    calibrated: ["stage.cpuid_hypervisor_leaves"],
  },
  {
    count: "second",
    vendor: "SVM",
    body: "RDMSR(EFER)",
    published: 630,
    calibrated: ["stage.hvm_msr_read_intercept"],
  },
  { count: "second", vendor: "VMX", body: "unknown hypercall", published: 853, calibrated: VMX_SHARES },
  { count: "second", vendor: "VMX", body: "xen_version", published: 890, calibrated: [] },
  { count: "second", vendor: "VMX", body: "vcpu_op is_up", published: 907, calibrated: [] },
  {
    count: "second",
    vendor: "VMX",
    body: "get_runstate_info",
    abi: "linear",
    published: 6617,
    calibrated: ["what VMX's look-ups and walks take more than SVM's"],
  },
  {
    count: "second",
    vendor: "VMX",
    body: "get_runstate_info",
    abi: "physaddr",
    published: 2189,
    calibrated: ["what VMX's look-ups take more than SVM's"],
  },
  { count: "second", vendor: "VMX", body: "CPUID(0)", published: 820, calibrated: ["stage.guest_cpuid"] },
  { count: "second", vendor: "VMX", body: "CPUID(0x40000000)", published: 837, calibrated: [] },
];

/** A loop as it was set up for a count. */
function setting(count: Count["count"], vendor: Vendor, body: LoopBodyName, abi: AbiName): LoopChoice {
  return {
    machine: MACHINES[vendor],
    body,
    abi,
    mmioHandlers: count === "first" ? HANDLERS_FIRST : HANDLERS_SECOND,
    xen: COUNTED,
  };
}

function countedFigure({
  count,
  vendor,
  body,
  abi,
  published,
  calibrated,
  rsbOverwrite,
}: Count): ValidationFigure {
  const choice = setting(count, vendor, body, abi ?? "linear");
  const asked = rsbOverwrite === undefined ? choice : { ...choice, xen: { ...COUNTED, rsbOverwrite } };
  const guest = count === "first" ? GUEST_FIRST : GUEST_SECOND;
  const how = [
    abi === undefined ? "" : `, ${INTERFACES[abi]}`,
    rsbOverwrite === false ? ", spec-ctrl=no" : "",
  ];
  return {
    id: ["instructions", count, vendor, body, abi, rsbOverwrite === false ? "no-rsb" : undefined]
      .filter((part) => part !== undefined)
      .join("/"),
    what: `${body}${how.join("")}`,
    where: `${vendor}, ${count} count`,
    asked: `${asked.machine}, ${asked.mmioHandlers} MMIO handlers`,
    published,
    unit: "instructions",
    mark: "X",
    source: count === "first" ? FIRST : SECOND,
    ...(count === "second" && abi !== undefined ? { unknown: UNKNOWN_HANDLERS } : {}),
    likeness: "same",
    calibrated,
    predict: (experiments) => {
      const { hypervisorInstructions, estimates } = experiments.loop(asked);
      return { value: hypervisorInstructions + guest, estimates: stagesOf(estimates) };
    },
  };
}

/** Of an instruction count only stages matter, no price. */
function stagesOf(estimates: Prediction["estimates"]): Prediction["estimates"] {
  return estimates.filter(({ key, unit }) => key.startsWith("stage") && unit === "instructions");
}

/** What one loop takes more instructions than another. */
function more(
  experiments: Experiments,
  one: LoopChoice,
  other: LoopChoice,
  of: "hypervisorInstructions" | "p2mLookups" = "hypervisorInstructions",
): Prediction {
  const [more, less] = [experiments.loop(one), experiments.loop(other)];
  return { value: more[of] - less[of], estimates: stagesOf(more.estimates) };
}

/**
 * How often something with a price of its own happens in a pass: what the pass costs more when it costs a cycle more.
 * @param key of the price in the profile
 */
function howOften(experiments: Experiments, choice: LoopChoice, key: string): Prediction {
  // Large, and a whole number, so that rounding to the ledger's ticks cannot matter.
  const [low, high] = [1000, 2000];
  const [cheap, dear] = [low, high].map((price) =>
    experiments.loop({ ...choice, overrides: { [key]: price } }),
  );
  return { value: Math.round((dear.cycles - cheap.cycles) / (high - low)), estimates: [] };
}

const linear = setting("first", "SVM", "get_runstate_info", "linear");
const physical = setting("first", "SVM", "get_runstate_info", "physaddr");
const registers = setting("first", "SVM", "get_runstate_info", "fastabi");
const across = (abi: AbiName): LoopChoice => setting("first", "SVM", "get_runstate_info across pages", abi);
const leaves = (choice: LoopChoice, p2mPage: P2mPage): LoopChoice => ({ ...choice, p2mPage });

interface Marginal {
  readonly what: string;
  readonly published: number | readonly [number, number];
  readonly unit: string;
  readonly vendor?: Vendor;
  readonly calibrated?: readonly string[];
  readonly predict: (experiments: Experiments) => Prediction;
}

const lessOften = (e: Experiments, one: LoopChoice, other: LoopChoice, key: string): Prediction => ({
  value: howOften(e, one, key).value - howOften(e, other, key).value,
  estimates: [],
});

const MARGINALS: readonly Marginal[] = [
  {
    what: "linear copy, first page, over registers only",
    published: 4825,
    unit: "instructions",
    calibrated: COPY,
    predict: (e) => more(e, linear, registers),
  },
  {
    what: "linear copy, a further page",
    published: 4700,
    unit: "instructions",
    calibrated: ["stage.paging_gva_to_gfn, hap_p2m_ga_to_gfn"],
    predict: (e) => more(e, across("linear"), linear),
  },
  {
    what: "physical copy, first page, over registers only",
    published: 1165,
    unit: "instructions",
    calibrated: COPY,
    predict: (e) => more(e, physical, registers),
  },
  {
    what: "physical copy, a further page",
    published: 1020,
    unit: "instructions",
    calibrated: ["stage.copy_to_user_hvm, __hvm_copy"],
    predict: (e) => more(e, across("physaddr"), physical),
  },
  {
    what: "what a look-up saves with a 2 MiB p2m leaf (507 less 449)",
    published: 58,
    unit: "instructions",
    calibrated: ["p2m_pt_get_entry's levels"],
    predict: (e) => {
      const { value, estimates } = more(e, physical, leaves(physical, "2m"));
      return { value, estimates };
    },
  },
  {
    what: "locked operations, linear copy of one page, over registers only (20 and an XCHG)",
    published: 21,
    unit: "operations",
    calibrated: ["atomics of the look-up and of the copy loop"],
    predict: (e) => lessOften(e, linear, registers, "timing.atomic"),
  },
  {
    what: "locked operations, physical copy of one page (5 and an XCHG)",
    published: 6,
    unit: "operations",
    calibrated: ["atomics of the look-up and of the copy loop"],
    predict: (e) => lessOften(e, physical, registers, "timing.atomic"),
  },
  {
    what: "LFENCEs, linear copy of one page",
    published: [43, 44],
    unit: "operations",
    calibrated: ["LFENCEs of the stages of the copy"],
    predict: (e) => lessOften(e, linear, registers, "timing.lfence"),
  },
  {
    what: "LFENCEs, physical copy of one page",
    published: 7,
    unit: "operations",
    calibrated: ["LFENCEs of the stages of the copy"],
    predict: (e) => lessOften(e, physical, registers, "timing.lfence"),
  },
  {
    what: "locked operations of an unknown hypercall",
    published: 1,
    unit: "operations",
    calibrated: BASE_PATH,
    predict: (e) => howOften(e, setting("first", "SVM", "unknown hypercall", "linear"), "timing.atomic"),
  },
  {
    what: "LFENCEs of an unknown hypercall",
    published: 1,
    unit: "operations",
    calibrated: BASE_PATH,
    predict: (e) => howOften(e, setting("first", "SVM", "unknown hypercall", "linear"), "timing.lfence"),
  },
  {
    what: "VMREADs of a hypercall without copies",
    published: 11,
    unit: "operations",
    vendor: "VMX",
    calibrated: ["VMREADs of the stages, counted in Xen's source"],
    predict: (e) => howOften(e, setting("second", "VMX", "xen_version", "linear"), "timing.vmread"),
  },
  {
    what: "VMWRITEs of a hypercall without copies",
    published: 3,
    unit: "operations",
    vendor: "VMX",
    calibrated: ["VMWRITEs of the stages, counted in Xen's source"],
    predict: (e) => howOften(e, setting("second", "VMX", "xen_version", "linear"), "timing.vmwrite"),
  },
  {
    what: "RDMSR(EFER): instructions of Xen's (no exit)",
    published: 0,
    unit: "instructions",
    vendor: "VMX",
    predict: (e) => ({
      value: e.loop(setting("second", "VMX", "RDMSR(EFER)", "linear")).hypervisorInstructions,
      estimates: [],
    }),
  },
];

const marginalFigure = ({
  what,
  published,
  unit,
  vendor = "SVM",
  calibrated = [],
  predict,
}: Marginal): ValidationFigure => ({
  id: `marginal/${vendor}/${what}`,
  what,
  where: vendor,
  asked: MACHINES[vendor],
  published,
  unit,
  mark: "X",
  source: vendor === "SVM" ? FIRST : SECOND,
  likeness: "same",
  calibrated,
  predict,
});

/** Every instruction count of Xen's paths that there is. */
export const PATH_COUNT_FIGURES: readonly ValidationFigure[] = [
  ...COUNTS.map(countedFigure),
  ...MARGINALS.map(marginalFigure),
];
