import type { ConfidentialKind } from "@hyperwalk/xen";
import type { Experiments, LoopChoice } from "../experiments.js";
import type { Prediction, ValidationFigure } from "../figure.js";
import type { LoopBodyName } from "../loop-bodies.js";

const CVM_EVAL = "TUM-DSE/CVM_eval, benchmarks/vmexit, 2024";

/** What encryption makes of an exit: under Xen, where encrypted guests are modelled. Physical addresses work in both. */
function encrypted(body: LoopBodyName, confidential: ConfidentialKind, experiments: Experiments): Prediction {
  const choice: LoopChoice = { machine: "epyc-9124", body, abi: "physaddr", xen: { ibpbEntry: false } };
  const plain = experiments.loop(choice);
  const { cycles, estimates } = experiments.loop({ ...choice, confidential });
  return { value: cycles / plain.cycles, estimates };
}

const confidential = (what: string, plain: number, guest: number, body: LoopBodyName): ValidationFigure => ({
  id: `confidential/${body}`,
  what: `${what} of an encrypted guest, to a plain one's (${guest} ns, ${plain} ns)`,
  where: "EPYC 9334 (Zen 4), KVM of Linux 6.8, SEV-SNP",
  asked: `epyc-9124, Xen, sev-snp: ${body}`,
  published: guest / plain,
  unit: "ratio",
  mark: "M",
  source: CVM_EVAL,
  unknown: "mitigations of either guest",
  likeness: "far",
  calibrated: [],
  predict: (experiments) => encrypted(body, "sev-snp", experiments),
});

/** Encrypted guests. */
export const CONFIDENTIAL_FIGURES: readonly ValidationFigure[] = [
  confidential("VMMCALL", 1255, 3553, "xen_version"),
  confidential("CPUID", 1232, 3859, "CPUID(0)"),
];

/** Parts of a call on Arm that have nothing to do with its structure. */
const ARM_PATH: readonly string[] = [
  "exception entry",
  "entry assembly",
  "exit handler",
  "hypercall dispatch",
  "operation",
  "return path",
  "exit assembly",
  "exception return",
];

function arm(experiments: Experiments, phases: readonly string[]): Prediction {
  const { row, estimates } = experiments.arm("neoverse-n1");
  const cells = row.pa.ledger.filter(({ phase }) => phases.includes(phase));
  return { value: cells.reduce((sum, { cycles }) => sum + cycles, 0), estimates };
}

/** Arm: nobody published a figure for the part that is modelled under Xen. */
export const ARM_FIGURES: readonly ValidationFigure[] = [
  {
    id: "arm/hypercall",
    what: "hypercall without a structure",
    where: "APM X-Gene, Xen 4.5",
    asked: "neoverse-n1: a hypercall by physical address without its copy",
    published: 376,
    unit: "cycles",
    mark: "M",
    source: "Linaro's blog on Dall et al., ISCA 2016; that Xen had no mitigations of 2018 and later",
    likeness: "far",
    calibrated: [],
    predict: (experiments) => arm(experiments, ARM_PATH),
  },
  {
    id: "arm/exception-entry",
    what: "trap from EL1 to EL2",
    where: "APM X-Gene",
    asked: "neoverse-n1",
    published: [68, 76],
    unit: "cycles",
    mark: "S",
    source: "NEVE, SOSP 2017, section 5",
    likeness: "far",
    calibrated: ["timing.exceptionEntry"],
    predict: (experiments) => arm(experiments, ["exception entry"]),
  },
  {
    id: "arm/exception-return",
    what: "ERET to EL1",
    where: "APM X-Gene",
    asked: "neoverse-n1",
    published: 65,
    unit: "cycles",
    mark: "S",
    source: "NEVE, SOSP 2017, section 5",
    likeness: "far",
    calibrated: ["timing.exceptionReturn"],
    predict: (experiments) => arm(experiments, ["exception return"]),
  },
];
