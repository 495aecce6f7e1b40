import type { HypercallMode } from "@hyperwalk/xen";
import type { Mitigations, P2mPage } from "../result.js";

/** First key of a record's first line. */
export const RECORDING_FORMAT = "hyperwalk-hypercalls";
/** Of the format that this version writes and reads. */
export const RECORDING_VERSION = 1;

/** First line of a record of hypercalls: what was recorded, and where. */
export interface RecordingHeader {
  readonly format: typeof RECORDING_FORMAT;
  readonly version: typeof RECORDING_VERSION;
  /** Who saw the calls: this simulator, or a real Xen's trace buffers. */
  readonly source: "simulator" | "xentrace";
  /** What wrote the record. */
  readonly tool: { readonly name: string; readonly version: string };
  /** Null where nobody knows it. `hash`: SHA-256 of the profile's data; `ghz` of the time stamp counter. */
  readonly machine: {
    readonly id: string;
    readonly name: string;
    readonly hash: string;
    readonly ghz: number;
  } | null;
  /** Xen's switches and the domain's, as results have them; null where nobody knows them. */
  readonly host: {
    readonly kind: "xen";
    readonly mitigations: Mitigations;
    readonly p2mPage: P2mPage;
    readonly mmioHandlers: number;
    readonly paging: "hap" | "shadow";
  } | null;
  /** The domain's hypercall interface; null where nobody knows it. */
  readonly interface: string | null;
  readonly guest: {
    readonly name: string;
    readonly cmdline: string;
    /** 0 where nobody knows it. */
    readonly memoryBytes: number;
    readonly vcpus: number;
  };
}

/** Bytes that Xen read from a guest buffer, or wrote to it. Page and offset are the high and low bits of the address. */
export interface RecordedCopy {
  /** `in`: from the guest to Xen. */
  readonly way: "in" | "out";
  /** What kind of address the guest gave. */
  readonly pointer: "linear" | "physical";
  /** Hexadecimal. */
  readonly address: string;
  /** Pairs of hexadecimal digits; of a copy that failed they mean nothing. */
  readonly bytes: string;
  /** Entries of the guest's own page tables that Xen read since the copy before; absent: none. */
  readonly tableReads?: number | undefined;
  /** The guest got -EFAULT. */
  readonly failed?: true | undefined;
}

/** An entry of a multicall: what its own hypercall would be. */
export interface RecordedEntry {
  readonly number: number;
  /** The six of an entry, hexadecimal. */
  readonly arguments: readonly string[];
  readonly result: number;
  /** Absent: none. */
  readonly copies?: readonly RecordedCopy[] | undefined;
}

/** One hypercall: a line of a record. Cycles may have a fraction, of multiples of 1/256. */
export interface RecordedCall {
  readonly kind: "call";
  readonly vcpu: number;
  /** When the guest left off, on its processor's clock. */
  readonly cycle: number;
  /** What the guest had in rax. */
  readonly number: number;
  /** `group.name`, or null where nobody handles that number. */
  readonly operation: string | null;
  /** Of the code that made it. */
  readonly mode: HypercallMode;
  /** As they were at the call, hexadecimal: six in order, or reg1 to reg7 where `fastabi` is set. */
  readonly arguments: readonly string[];
  readonly fastabi?: true | undefined;
  /** What went to rax, signed. */
  readonly result: number;
  /** From the guest's leaving until it went on, without `idle`. */
  readonly cycles: number;
  /** Cycles in between that the processor slept; absent: 0. */
  readonly idle?: number | undefined;
  /** Guest instructions since the vCPU's hypercall before. */
  readonly sinceInstructions: number;
  /** Cycles from that call's end to this one's beginning, other VM exits among them. */
  readonly sinceCycles: number;
  /** How often the guest made it, where it was continued; `cycles` and `copies` are those of all parts. Absent: once. */
  readonly parts?: number | undefined;
  /** It was to be continued, and never was. */
  readonly unfinished?: true | undefined;
  /** In order; of a multicall its own, without those of its entries. Absent: none. */
  readonly copies?: readonly RecordedCopy[] | undefined;
  /** Of a multicall. */
  readonly entries?: readonly RecordedEntry[] | undefined;
}

/** Hypercalls of one kind, of which only the number is known, with what they took: a line of an imported trace. */
export interface RecordedMix {
  readonly kind: "mix";
  /** Null where the trace does not say whose they are. */
  readonly domain: number | null;
  readonly number: number;
  /** The sub-operation, where its arguments are in the trace; null: unknown. */
  readonly operation: string | null;
  readonly count: number;
  /** How many of them have both their exit and their entry in the trace. */
  readonly timed: number;
  /** What those took together, in cycles of the time stamp counter. */
  readonly cycles: number;
  /** Mean cycles from one to the next of the same vCPU; null where there is none. */
  readonly interval: number | null;
}

/** Last line: how the run ended, and totals. */
export interface RecordingEnd {
  readonly kind: "end";
  /** Lines of that kind. */
  readonly calls: number;
  /** Sums of the calls'. */
  readonly cycles: number;
  readonly idle: number;
  /** Of everything, hypercalls or not; guest instructions of all vCPUs. */
  readonly runCycles: number;
  readonly instructions: number;
  /** How the run ended, in the words of `RunExit`. */
  readonly outcome: string;
  /** Where `cycles` went; empty where nobody knows. */
  readonly ledger: readonly { readonly phase: string; readonly cause: string; readonly cycles: number }[];
}

/** A record as a whole. */
export interface Recording {
  readonly header: RecordingHeader;
  readonly calls: readonly RecordedCall[];
  readonly mixes: readonly RecordedMix[];
  readonly end: RecordingEnd;
}
