/** Formats that a timeline can be written in. */
export const TRACE_FORMATS = ["perfetto", "speedscope", "folded"] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

/** Hypercalls that a trace holds by default. */
export const DEFAULT_TRACED_CALLS = 8;

/** Spans that a trace may hold; more are no use to the programs that show them. */
export const MAX_TRACED_SPANS: number = 2 ** 20;
