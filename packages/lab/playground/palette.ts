import type { ChartParts } from "./state.js";

/** Parts of a hypercall that share a colour. */
export interface ColourFamily {
  readonly label: string;
  readonly colour: string;
  readonly includes: (part: string) => boolean;
}

const among =
  (...parts: readonly string[]) =>
  (part: string): boolean =>
    parts.includes(part);

// Okabe and Ito's colours and greys: told apart with any colour vision; labels and tables say the same without them.
const PHASES: readonly ColourFamily[] = [
  { label: "guest", colour: "#767676", includes: among("guest") },
  { label: "VM exit and entry", colour: "#0072b2", includes: among("vm-exit", "vm-entry") },
  { label: "mitigations", colour: "#d55e00", includes: (part) => part.startsWith("mitigations:") },
  {
    label: "way in and out of the hypervisor",
    colour: "#56b4e9",
    includes: among("entry assembly", "exit handler", "hypercall dispatch", "return path", "exit assembly"),
  },
  { label: "operation", colour: "#009e73", includes: among("operation", "exit operation") },
  {
    label: "copies, with MMIO scan and mapping",
    colour: "#f0e442",
    includes: among("copy", "map", "mmio scan"),
  },
  { label: "guest walk", colour: "#cc79a7", includes: among("guest walk") },
  { label: "p2m lookup", colour: "#e69f00", includes: among("p2m lookup") },
  { label: "user space and the kernel around it", colour: "#b3b3b3", includes: () => true },
];

const CAUSES: readonly ColourFamily[] = [
  { label: "instructions issued", colour: "#56b4e9", includes: among("issue") },
  { label: "branches", colour: "#cc79a7", includes: among("branch") },
  { label: "VM exit and entry", colour: "#0072b2", includes: among("exit-hardware", "entry-hardware") },
  { label: "barriers and flushes", colour: "#d55e00", includes: among("predictor-barrier", "l1d-flush") },
  { label: "serialising", colour: "#e69f00", includes: among("serialise", "lock-harden") },
  { label: "atomics and locks", colour: "#009e73", includes: among("atomic", "lock-wait") },
  { label: "memory", colour: "#f0e442", includes: among("l1", "l2", "l3", "dram", "tlb", "walk") },
  { label: "microcode and the rest", colour: "#b3b3b3", includes: () => true },
];

export function families(parts: ChartParts): readonly ColourFamily[] {
  return parts === "phase" ? PHASES : CAUSES;
}

export function familyFor(parts: ChartParts, part: string): ColourFamily {
  const all = families(parts);
  return all.find(({ includes }) => includes(part)) ?? all[all.length - 1];
}

/** Text on a colour of the palette. */
export function inkOn(colour: string): string {
  return colour === "#0072b2" || colour === "#767676" ? "#ffffff" : "#000000";
}
