import type { ProcessorProfile } from "@hyperwalk/cpu";

/** One of Xen's speculation controls on the paths of a hypercall, and what can be said about it in `spec-ctrl=`. */
export interface Mitigation {
  readonly name: string;
  readonly label: string;
  /** Each value and the items of `spec-ctrl=` that say it. */
  readonly values: Readonly<Record<string, readonly string[]>>;
  /** Why saying something about it changes nothing on a machine; undefined where it does. */
  readonly idle: (machine: ProcessorProfile) => string | undefined;
}

const never = (): undefined => undefined;
const onIntel = ({ vendor }: ProcessorProfile): string | undefined =>
  vendor === "amd" ? "Xen has none on AMD" : undefined;

function onOff(word: string): Mitigation["values"] {
  return { on: [word], off: [`no-${word}`] };
}

/** All but IBPB, which has an option of its own that KVM understands, too. */
export const MITIGATIONS: readonly Mitigation[] = [
  { name: "rsb", label: "RSB overwrite on exit", values: onOff("rsb"), idle: never },
  {
    name: "msr-sc",
    label: "SPEC_CTRL written around guests",
    values: onOff("msr-sc"),
    idle: ({ defaults }) =>
      defaults.specCtrlWrite ? undefined : "on this machine Xen writes it only if it differs",
  },
  { name: "verw", label: "VERW before entry", values: onOff("verw"), idle: never },
  {
    name: "bhb",
    label: "Branch history cleared on exit",
    values: {
      off: ["no-bhb-entry"],
      short: ["bhb-seq=short", "bhb-entry"],
      long: ["bhb-seq=long", "bhb-entry"],
      tsx: ["bhb-seq=tsx", "bhb-entry"],
    },
    idle: onIntel,
  },
  { name: "l1d-flush", label: "L1D flushed on entry", values: onOff("l1d-flush"), idle: onIntel },
  { name: "lock-harden", label: "LFENCE after lock operations", values: onOff("lock-harden"), idle: never },
];

/** What was said about each, by name; of the others Xen decides. */
export type MitigationChoices = Readonly<Record<string, string>>;

/** The text of `spec-ctrl=`; empty when nothing was said. */
export function specCtrlText(choices: MitigationChoices): string {
  return MITIGATIONS.flatMap(({ name, values }) =>
    Object.hasOwn(choices, name) ? values[choices[name]] : [],
  ).join(",");
}

/** The text of `spec-ctrl=` without what changes nothing on this machine. */
export function specCtrlFor(machine: ProcessorProfile, choices: MitigationChoices): string {
  const heard = MITIGATIONS.filter(({ idle }) => idle(machine) === undefined).map(({ name }) => name);
  return specCtrlText(Object.fromEntries(Object.entries(choices).filter(([name]) => heard.includes(name))));
}

/** Choices behind such a text, and the items that are none of them. */
export function mitigationsFrom(text: string): {
  readonly choices: MitigationChoices;
  readonly unknown: readonly string[];
} {
  const items = text === "" ? [] : text.split(",");
  const left = new Set(items);
  const choices: Record<string, string> = {};
  for (const { name, values } of MITIGATIONS)
    for (const [value, words] of Object.entries(values)) {
      if (Object.hasOwn(choices, name) || !words.every((word) => left.has(word))) continue;
      choices[name] = value;
      for (const word of words) left.delete(word);
    }
  return { choices, unknown: [...left] };
}

/** All items that are understood. */
export const SPEC_CTRL_ITEMS: readonly string[] = [
  ...new Set(MITIGATIONS.flatMap(({ values }) => Object.values(values).flat())),
];
