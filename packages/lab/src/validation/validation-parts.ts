/** Parts of a validation, in the order of its document. */
export const VALIDATION_PARTS = [
  "copies",
  "walks",
  "instructions",
  "predictions",
  "saving",
  "round-trips",
  "notifications",
  "confidential",
  "arm",
  "instruction-costs",
  "memory",
  "pointer-chase",
] as const;
export type ValidationPartName = (typeof VALIDATION_PARTS)[number];

/** Parts that take minutes and a gigabyte. */
export const LONG_PARTS: readonly ValidationPartName[] = ["pointer-chase"];
