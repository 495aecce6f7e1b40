import { type ProcessorProfile, profileQuantities, type Quantity } from "@hyperwalk/cpu";
import { isStagePrice } from "@hyperwalk/xen";
import type { EstimateUsed } from "hyperwalk";

/** A number of a profile that can be replaced, and within what. */
export interface NumberInput {
  /** Dotted path in the profile. */
  readonly key: string;
  readonly label: string;
  readonly quantity: Quantity;
  /** Allowed at all: the simulation stays possible and quick. */
  readonly least: number;
  readonly most: number;
  /** What the slider goes through; of sizes a list to choose from. */
  readonly slider: { readonly low: number; readonly high: number; readonly step: number } | readonly number[];
  /** A number that is replaced with it by the same: fully associative arrays stay so. */
  readonly tied?: string;
}

const LABELS: Readonly<Record<string, string>> = {
  frequency: "Core clock",
  "timing.vmexit": "VM exit",
  "timing.vmentry": "VM entry",
  "timing.ibpb": "IBPB",
  "timing.issue": "One instruction, nothing missed (1 / IPC)",
  "timing.branchMispredict": "Branch mispredicted",
  "timing.lfence": "LFENCE",
  "timing.atomic": "Atomic operation",
  "timing.serialise": "Other serialising instructions",
  "timing.wrmsr": "WRMSR",
  "timing.wrmsrSpecCtrl": "WRMSR of SPEC_CTRL",
  "timing.verw": "VERW",
  "timing.l1dFlush": "L1D flush",
  "timing.vmread": "VMREAD",
  "timing.vmwrite": "VMWRITE",
  "timing.clgiStgi": "CLGI, STGI",
  "memory.l1i.bytes": "L1I size",
  "memory.l1d.bytes": "L1D size",
  "memory.l1d.latency": "L1D latency",
  "memory.l2.bytes": "L2 size",
  "memory.l2.latency": "L2 latency",
  "memory.l3.bytes": "L3 size",
  "memory.l3.latency": "L3 latency",
  "memory.dramLatency": "DRAM latency",
  "memory.overlap.load": "Share of a load miss that is hidden",
  "memory.l1Dtlb.0.entries": "L1 data TLB entries",
  "memory.l1Itlb.0.entries": "L1 instruction TLB entries",
  "memory.l2Dtlb.0.entries": "L2 TLB entries",
  "memory.l2TlbLatency": "L2 TLB hit, beyond L1",
  "memory.pagingStructureCaches.0.entries": "Paging-structure cache entries, upper levels",
  "memory.nestedPagingStructureCaches.0.entries": "The same of the second stage",
  "memory.nestedTlb.entries": "Nested TLB entries",
};

/** Groups of inputs that are always shown, by keys. A machine may lack some. */
export const NUMBER_GROUPS: readonly { readonly title: string; readonly keys: readonly string[] }[] = [
  {
    title: "Prices of the processor",
    keys: Object.keys(LABELS).filter((key) => key.startsWith("timing.") || key === "frequency"),
  },
  {
    title: "Caches and memory",
    keys: Object.keys(LABELS).filter((key) => /^memory\.(l1i|l1d|l2|l3|dramLatency|overlap)\b/.test(key)),
  },
  {
    title: "TLBs and walk caches",
    keys: Object.keys(LABELS).filter((key) =>
      /^memory\.(l[12][DI]?[Tt]lb|l2TlbLatency|paging|nested)/.test(key),
    ),
  },
];

/** Every number of a machine that can be replaced, in the profile's order. */
export function numberInputs(machine: ProcessorProfile): readonly NumberInput[] {
  const quantities = profileQuantities(machine);
  const values = new Map(quantities.map(([key, { value }]) => [key, value]));
  return quantities
    .filter(([, { unit }]) => unit !== "bits")
    .map(([key, quantity]) => {
      const ways = key.endsWith(".entries") ? key.replace(/entries$/, "ways") : undefined;
      return {
        key,
        label: LABELS[key] ?? key,
        quantity,
        ...limits(quantity),
        ...(ways !== undefined && values.get(ways) === quantity.value ? { tied: ways } : {}),
      };
    });
}

/**
 * Estimates of the hypervisor's code that can be replaced: those known from results, and those replaced before any result said
 * what they would be.
 */
export function stageInputs(
  known: ReadonlyMap<string, EstimateUsed>,
  set: Readonly<Record<string, number>>,
): readonly NumberInput[] {
  const unknown = Object.keys(set).filter((key) => isStagePrice(key) && !known.has(key));
  const quantities: { readonly key: string; readonly quantity: Quantity }[] = [
    ...[...known.values()].map(({ key, value, unit, range, source }) => ({
      key,
      quantity: {
        value,
        unit: unit as Quantity["unit"],
        basis: "estimate" as const,
        source,
        ...(range === null ? {} : { range }),
      },
    })),
    ...unknown.map((key) => ({
      key,
      quantity: {
        value: Number.NaN,
        unit: "instructions" as const,
        basis: "estimate" as const,
        source: "reset it to see what it is",
      },
    })),
  ];
  return quantities
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ key, quantity }) => {
      const { value, range } = quantity;
      const most = 100_000;
      const high = Number.isNaN(value)
        ? Math.max(2 * set[key], 10)
        : Math.max(2 * value, 1.5 * (range?.[1] ?? 0), 10);
      const step = key.startsWith("stages.") ? 0.5 : 1;
      const slider = { low: 0, high: Math.ceil(high), step };
      return { key, label: key.replace(/^stages?\./, ""), quantity, least: 0, most, slider };
    });
}

function limits({ unit, value, range }: Quantity): Pick<NumberInput, "least" | "most" | "slider"> {
  switch (unit) {
    case "ratio":
      return { least: 0, most: 1, slider: { low: 0, high: 1, step: 0.05 } };
    case "GHz":
      return { least: 0.1, most: 10, slider: { low: 1, high: 5, step: 0.05 } };
    case "bytes":
      return { least: value / 16, most: value * 4, slider: powers(value, -3, 2) };
    case "entries":
    case "ways":
      return { least: 1, most: Math.max(value * 8, 4096), slider: powers(value, -3, 3) };
    default: {
      const most = Math.max(value * 10, (range?.[1] ?? 0) * 2, 100);
      const high = Math.max(value * 2, (range?.[1] ?? 0) * 1.2, 10);
      const step = high >= 400 ? 10 : high >= 40 ? 1 : high >= 4 ? 0.1 : 0.01;
      return { least: 0, most, slider: { low: 0, high: Math.ceil(high / step) * step, step } };
    }
  }
}

/** Multiples by powers of two that are whole. */
function powers(value: number, from: number, to: number): readonly number[] {
  const found: number[] = [];
  for (let power = from; power <= to; power++) {
    const multiple = value * 2 ** power;
    if (Number.isInteger(multiple) && multiple >= 1) found.push(multiple);
  }
  return found;
}
