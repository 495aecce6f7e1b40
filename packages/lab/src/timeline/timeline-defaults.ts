/** Hypercalls in the measured loop of a guest whose timeline is wanted. */
export const DEFAULT_TIMELINE_ITERATIONS = 64;
