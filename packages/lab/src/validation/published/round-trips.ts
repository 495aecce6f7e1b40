import type { KvmConfig } from "@hyperwalk/xen";
import type { LoopChoice } from "../experiments.js";
import type { FigureMark, Likeness, ValidationFigure } from "../figure.js";
import type { LoopBodyName } from "../loop-bodies.js";

/** A round trip as somebody measured it, and the loop that is like it. */
interface RoundTrip {
  readonly what: string;
  readonly where: string;
  readonly published: number | readonly [number, number];
  readonly mark: FigureMark;
  readonly source: string;
  readonly unknown?: string;
  readonly likeness: Likeness;
  readonly calibrated?: readonly string[];
  readonly machine: string;
  readonly host: "xen" | "kvm";
  readonly body: LoopBodyName;
  readonly kvm?: KvmConfig;
  /** Where the publication does not say which mitigations ran: asked with these, which differ from Linux's choice, and with none. */
  readonly mitigated?: KvmConfig;
  /** What was asked, in words, where the settings are not the machine's own. */
  readonly settings?: string;
  /** A part of the ledger, instead of all of it. */
  readonly causes?: readonly string[];
}

/** Linux before 2018 had none of these. */
const NO_MITIGATIONS: KvmConfig = {
  specCtrlWrite: false,
  rsbFill: "none",
  verw: false,
  l1dFlush: false,
  vmscape: false,
  pti: false,
};
const UNMITIGATED = { kvm: NO_MITIGATIONS, settings: "no mitigations" } as const;
const EITHER = { unknown: "mitigations", mitigated: {} } as const;
const EITHER_BUT_PTI = {
  unknown: "mitigations but for page-table isolation",
  mitigated: { pti: false },
} as const;

const EXIT_ANATOMY =
  '"exit-anatomy" notes of the Composite/Errand project: turbo and SMT off, all mitigations';
const XEON_8160 = "Xeon Platinum 8160, KVM of Linux 6.14";
/** Prices that the profile has from the measurement that these figures are of. */
const FROM_8160 = ["timing.vmexit", "timing.vmentry", "timing.wrmsrSpecCtrl", "timing.verw (range)"];
const CVM_EVAL = "TUM-DSE/CVM_eval, benchmarks/vmexit, 2024; nanoseconds at a 2.7 GHz time stamp counter";
const EPYC_9334 = "EPYC 9334 (Zen 4), KVM of Linux 6.8";
const CVM_UNKNOWN = "mitigations, and the frequency that the core ran at";
const KVM_2017 = "KVM commit b7ffc44d5b2e, kvm-unit-tests vmexit, 2017";
const INTEL_2017 = "unnamed Intel part, KVM of 2017";
const ISCA = "Dall et al., ISCA 2016, table II";
const XEON_E5 = "Xeon E5-2450 (Sandy Bridge)";

const ROUND_TRIPS: readonly RoundTrip[] = [
  {
    what: "CPUID",
    where: XEON_8160,
    published: 3738,
    mark: "M",
    source: EXIT_ANATOMY,
    likeness: "same",
    calibrated: FROM_8160,
    machine: "skylake-sp",
    host: "kvm",
    body: "CPUID(0)",
  },
  {
    what: "VMCALL that the kernel serves",
    where: XEON_8160,
    published: 3864,
    mark: "M",
    source: EXIT_ANATOMY,
    likeness: "same",
    calibrated: FROM_8160,
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
  },
  {
    what: "VMCALL, against Xen's hypercall",
    where: XEON_8160,
    published: 3864,
    mark: "M",
    source: `${EXIT_ANATOMY}; but Xen flushes L1D on every entry, KVM after leaving for user space`,
    likeness: "far",
    calibrated: [...FROM_8160, "timing.l1dFlush"],
    machine: "skylake-sp",
    host: "xen",
    body: "xen_version",
  },
  {
    what: "VM exit and entry, the hardware's part",
    where: XEON_8160,
    published: 676,
    mark: "M",
    source: EXIT_ANATOMY,
    likeness: "same",
    calibrated: ["timing.vmexit", "timing.vmentry"],
    machine: "skylake-sp",
    host: "xen",
    body: "xen_version",
    causes: ["exit-hardware", "entry-hardware"],
  },
  {
    what: "CPUID leaf 1 or 0xb, 1226 to 1232 ns",
    where: EPYC_9334,
    published: [3310, 3326],
    mark: "M",
    source: CVM_EVAL,
    unknown: CVM_UNKNOWN,
    mitigated: {},
    likeness: "near",
    machine: "epyc-9124",
    host: "kvm",
    body: "CPUID(0)",
  },
  {
    what: "RDMSR 0x1b, 1290 ns",
    where: EPYC_9334,
    published: 3483,
    mark: "M",
    source: CVM_EVAL,
    unknown: CVM_UNKNOWN,
    mitigated: {},
    likeness: "near",
    machine: "epyc-9124",
    host: "kvm",
    body: "RDMSR(EFER)",
  },
  {
    what: "VMMCALL, 1255 ns",
    where: EPYC_9334,
    published: 3389,
    mark: "M",
    source: CVM_EVAL,
    unknown: CVM_UNKNOWN,
    mitigated: {},
    likeness: "near",
    machine: "epyc-9124",
    host: "kvm",
    body: "xen_version",
  },
  {
    what: "VMRUN to #VMEXIT, the hardware's part",
    where: "an EPYC of 2020, guest with encrypted registers",
    published: [1344, 1376],
    mark: "M",
    source: "M. Roth, lkml, December 2020; more state is switched than for a plain guest",
    unknown: "the part",
    likeness: "far",
    calibrated: ["timing.vmexit and timing.vmentry, by a geometric mean with a figure of Zen 1"],
    machine: "epyc-7763",
    host: "xen",
    body: "xen_version",
    causes: ["exit-hardware", "entry-hardware"],
  },
  {
    what: "raw hypercall, no hypervisor to speak of",
    where: "Ryzen 7 1700 (Zen 1)",
    published: 697,
    mark: "R",
    source: "Nelson et al., SOSP 2017, hypercall column; low confidence",
    likeness: "far",
    calibrated: ["timing.vmexit and timing.vmentry, by a geometric mean with a figure of 2020"],
    machine: "epyc-7763",
    host: "xen",
    body: "xen_version",
    causes: ["exit-hardware", "entry-hardware"],
  },
  {
    what: "VMCALL",
    where: "Skylake server, KVM of 2020",
    published: [1529, 1559],
    mark: "M",
    source: "Wanpeng Li, kvm list, March 2020, kvm-unit-tests",
    likeness: "near",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...EITHER,
  },
  {
    what: "VMCALL",
    where: "Xeon Silver 4216 (Cascade Lake), nopti",
    published: 1785,
    mark: "M",
    source: "HyperTurtle, table 1: 0.85 µs at 2.1 GHz",
    likeness: "near",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...EITHER_BUT_PTI,
  },
  {
    what: "CPUID",
    where: "Xeon Silver 4216 (Cascade Lake), nopti",
    published: 1638,
    mark: "M",
    source: "HyperTurtle, table 1: 0.78 µs at 2.1 GHz",
    likeness: "near",
    machine: "skylake-sp",
    host: "kvm",
    body: "CPUID(0)",
    ...EITHER_BUT_PTI,
  },
  {
    what: "hypercall",
    where: "Xeon Silver 4114 (Skylake)",
    published: 1575,
    mark: "R",
    source: "Lim and Nieh, ASPLOS 2020, table 3",
    likeness: "near",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...EITHER,
  },
  {
    what: "VMCALL",
    where: INTEL_2017,
    published: [1181, 1195],
    mark: "M",
    source: KVM_2017,
    unknown: "the part",
    likeness: "far",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...UNMITIGATED,
  },
  {
    what: "CPUID",
    where: INTEL_2017,
    published: [1291, 1313],
    mark: "M",
    source: KVM_2017,
    unknown: "the part",
    likeness: "far",
    machine: "skylake-sp",
    host: "kvm",
    body: "CPUID(0)",
    ...UNMITIGATED,
  },
  {
    what: "CPUID",
    where: "unnamed part, KVM of 2024",
    published: [1018, 1098],
    mark: "M",
    source: "S. Christopherson and B. Kauer, kvm list, December 2024",
    unknown: "the part, and mitigations",
    mitigated: {},
    likeness: "far",
    machine: "sapphire-rapids",
    host: "kvm",
    body: "CPUID(0)",
  },
  {
    what: "hypercall",
    where: `${XEON_E5}, KVM 4.0`,
    published: 1300,
    mark: "S",
    source: ISCA,
    likeness: "far",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...UNMITIGATED,
  },
  {
    what: "hypercall",
    where: `${XEON_E5}, KVM of 2017`,
    published: 1437,
    mark: "S",
    source: "Dall et al., USENIX ATC 2017, table 2",
    likeness: "far",
    machine: "skylake-sp",
    host: "kvm",
    body: "xen_version",
    ...UNMITIGATED,
  },
  {
    what: "hypercall",
    where: `${XEON_E5}, Xen 4.5, HVM`,
    published: 1228,
    mark: "R",
    source: `${ISCA}; that Xen had fewer instructions, and no mitigations`,
    likeness: "far",
    machine: "skylake-sp",
    host: "xen",
    body: "xen_version",
    settings: "no mitigations",
  },
];

const NO_XEN_MITIGATIONS: LoopChoice["xen"] = {
  ibpbEntry: false,
  rsbOverwrite: false,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
  l1dFlush: false,
  lockHarden: false,
};

/** Both settings, where either may have been what was measured. */
function withEither({ mitigated, ...each }: RoundTrip): readonly RoundTrip[] {
  if (mitigated === undefined) return [each];
  return [
    { ...each, ...UNMITIGATED, what: `${each.what}; mitigations off` },
    {
      ...each,
      kvm: mitigated,
      settings: `Linux's mitigations${mitigated.pti === false ? " but for page-table isolation" : ""}`,
      what: `${each.what}; mitigations on`,
    },
  ];
}

function roundTrip(each: RoundTrip): ValidationFigure {
  const { machine, host, body, kvm, settings, causes } = each;
  const choice: LoopChoice = {
    machine,
    host,
    body,
    ...(kvm === undefined ? {} : { kvm }),
    ...(host === "xen" && settings !== undefined ? { xen: NO_XEN_MITIGATIONS } : {}),
  };
  return {
    id: `round-trip/${each.where}/${each.what}`,
    what: each.what,
    where: each.where,
    asked: `${machine}, ${host === "xen" ? "Xen" : "KVM"}: ${body}${settings === undefined ? "" : `, ${settings}`}`,
    published: each.published,
    unit: "cycles",
    mark: each.mark,
    source: each.source,
    ...(each.unknown === undefined ? {} : { unknown: each.unknown }),
    likeness: each.likeness,
    calibrated: each.calibrated ?? [],
    predict: (experiments) => {
      const { cycles, ledger, estimates } = experiments.loop(choice);
      if (causes === undefined) return { value: cycles, estimates };
      const cells = ledger.filter(({ cause }) => causes.includes(cause));
      return {
        value: cells.reduce((sum, { cyclesPerCall }) => sum + cyclesPerCall, 0),
        estimates: estimates.filter(({ key }) => key === "timing.vmexit" || key === "timing.vmentry"),
      };
    },
  };
}

const RSB: ValidationFigure = {
  id: "round-trip/rsb-overwrite",
  what: "share of a XENVER_version loop that the RSB overwrite takes (17.8 ± 1.3 %)",
  where: "Milan (Zen 3), PV guest",
  asked: "epyc-7763, Xen: xen_version of an HVM guest, with RSB overwrite and without",
  published: [0.165, 0.191],
  unit: "share",
  mark: "M",
  source:
    "Xen commit afab477fba; a PV hypercall is SYSCALL and has no VM exit: the share of the same work is larger there",
  likeness: "far",
  calibrated: [],
  predict: (experiments) => {
    const choice = { machine: "epyc-7763", body: "xen_version" } as const;
    const xen = { ibpbEntry: false };
    const on = experiments.loop({ ...choice, xen: { ...xen, rsbOverwrite: true } });
    const off = experiments.loop({ ...choice, xen: { ...xen, rsbOverwrite: false } });
    return { value: 1 - off.cycles / on.cycles, estimates: on.estimates };
  },
};

/** Exits and hypercalls, from one instruction of the guest's to the next. */
export const ROUND_TRIP_FIGURES: readonly ValidationFigure[] = [
  ...ROUND_TRIPS.flatMap(withEither).map(roundTrip),
  RSB,
];
