import type { MemoryProfile } from "@hyperwalk/mmu";

/**
 * How a number came to be known: `measured` by somebody on that part, stated by the `vendor`, `published` in a paper
 * or a secondary source, `derived` by a formula from such numbers, or an `estimate`.
 */
export type Basis = "measured" | "vendor" | "published" | "derived" | "estimate";

/** One number with where it is from. Results repeat which estimates they rest on. */
export interface Quantity {
  readonly value: number;
  readonly unit:
    | "cycles"
    | "bytes"
    | "entries"
    | "ways"
    | "GHz"
    | "bits"
    | "ratio"
    | "instructions"
    | "count";
  readonly basis: Basis;
  readonly source: string;
  /** Required for estimates: the interval that the truth is believed to lie in, in `unit`. */
  readonly range?: readonly [number, number];
}

/** Prices of single instructions and events, in cycles; see `docs/model.md` for how they combine. */
export interface CoreTiming {
  /** Cycles an ordinary integer instruction takes when nothing stalls (1 / sustained IPC). */
  readonly issue: number;
  readonly multiply: number;
  readonly divide32: number;
  readonly divide64: number;
  readonly branchMispredict: number;
  /** A taken branch whose target the front end does not know: decode-time re-steer. */
  readonly branchResteer: number;
  readonly atomic: number;
  readonly lfence: number;
  readonly mfence: number;
  readonly serialise: number;
  readonly cpuid: number;
  readonly rdtsc: number;
  readonly pause: number;
  readonly wrmsr: number;
  readonly rdmsr: number;
  readonly wrmsrSpecCtrl: number;
  readonly ibpb: number;
  readonly verw: number;
  readonly cliSti: number;
  readonly clgiStgi: number;
  readonly vmread: number;
  readonly vmwrite: number;
  readonly vmentry: number;
  readonly vmexit: number;
  readonly movCr3: number;
  readonly invlpg: number;
  readonly farTransfer: number;
  readonly interruptDelivery: number;
  readonly stringStart: number;
  readonly stringPerLine: number;
  readonly portIo: number;
  /** WRMSR FLUSH_CMD, or the same through the VM-entry MSR load list: writes back and empties L1D. */
  readonly l1dFlush: number;
}

/** Branch-predictor geometry. */
export interface PredictorProfile {
  readonly btbEntries: number;
  readonly patternEntries: number;
  readonly returnStack: number;
}

/** CPUID leaf values as `[leaf, subleaf, eax, ebx, ecx, edx]`. */
export type CpuidLeaf = readonly [number, number, number, number, number, number];

/** One real processor. Nested objects hold {@link Quantity} leaves; `resolveProfile` makes the plain numbers. */
export interface ProcessorProfile {
  readonly id: string;
  readonly name: string;
  readonly vendor: "amd" | "intel";
  /** Core clock while the simulated code runs; the TSC ticks at the same rate (no turbo). */
  readonly frequency: Quantity;
  readonly timing: { readonly [K in keyof CoreTiming]: Quantity };
  readonly predictor: { readonly [K in keyof PredictorProfile]: Quantity };
  /** Memory side: same shape as `MemoryProfile`, every number a Quantity. */
  readonly memory: Quantified<MemoryProfile>;
  readonly cpuid: readonly CpuidLeaf[];
  /** Mitigations that Xen turns on by default on this part (`spec-ctrl=`), with the reason in its source. */
  readonly defaults: {
    readonly ibpbEntry: boolean;
    readonly rsbOverwrite: boolean;
    readonly specCtrlWrite: boolean;
    readonly verw: boolean;
    readonly bhbClear: boolean;
    /** L1D flush on every VM entry (L1TF). */
    readonly l1dFlush: boolean;
    /** Executable EPT superpages (`ept=exec-sp`): off where a guest can crash the host with them (CVE-2018-12207). */
    readonly execSp: boolean;
    /** Branch history injection affects the part, and BHI_DIS_S in SPEC_CTRL is there against it. */
    readonly bhiDisS: boolean;
    readonly note: string;
  };
}

/** `T` with every number leaf replaced by a {@link Quantity}; strings, functions and lists of strings or of level numbers stay. */
export type Quantified<T> = T extends number
  ? Quantity
  : T extends (...values: never[]) => unknown
    ? T
    : T extends readonly (string | number)[]
      ? T
      : T extends readonly (infer U)[]
        ? readonly Quantified<U>[]
        : T extends object
          ? { readonly [K in keyof T]: Quantified<T[K]> }
          : T;

/** A profile as the models use it: plain numbers only. */
export interface ResolvedProfile {
  readonly id: string;
  readonly vendor: "amd" | "intel";
  readonly ghz: number;
  readonly timing: CoreTiming;
  readonly predictor: PredictorProfile;
  readonly memory: MemoryProfile;
  readonly cpuid: readonly CpuidLeaf[];
}
