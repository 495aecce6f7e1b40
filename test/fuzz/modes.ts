import { Segment, SegmentWord, State } from "@hyperwalk/cpu";
import { installTables, type Machine } from "../../packages/cpu/test/machine.js";

/** Modes that code starts in on a bare processor. */
export const MODES = [
  "real",
  "virtual-8086",
  "protected 16-bit",
  "protected 32-bit",
  "legacy paging",
  "PSE",
  "PAE",
  "compatibility",
  "64-bit",
  "five levels",
] as const;
export type Mode = (typeof MODES)[number];

/** Where the tables of the paged modes are: six pages from here. */
export const TABLES = 0x1000;
const CODE_16 = 0x9b;
const CODE_COMPATIBILITY = 0xc09b;

/** Puts a machine into a mode, at `rip` with these tables. */
export function enterMode(machine: Machine, mode: Mode, rip: number, cpl: 0 | 3): void {
  const { processor, words } = machine;
  const { memory } = processor;
  words[State.Cr4] = 0;
  words[State.EferLo] = 0;
  words[State.Cr3Lo] = TABLES;
  switch (mode) {
    case "real":
    case "virtual-8086":
      machine.real(rip >> 4, 0);
      for (let vector = 0; vector < 256; vector++) memory.writeU32(4 * vector, 0x800 + vector);
      if (mode === "real") return;
      words[State.Cr0] |= 1;
      words[State.Cpl] = 3;
      for (let s = Segment.Es; s <= Segment.Gs; s++)
        words[State.Segments + 8 * s + SegmentWord.Attributes] |= 0x60;
      installTables(machine);
      return;
    case "64-bit":
    case "compatibility":
      machine.long(rip, cpl, TABLES);
      if (mode === "compatibility")
        words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes] = CODE_COMPATIBILITY | (cpl << 5);
      break;
    case "five levels":
      machine.long(rip, cpl, TABLES + 0x1000);
      memory.writeU64(TABLES, BigInt(TABLES + 0x1000) | 7n);
      words[State.Cr3Lo] = TABLES;
      words[State.Cr4] |= 0x1000;
      break;
    default:
      machine.flat32(rip, cpl);
      if (mode === "protected 16-bit")
        words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes] = CODE_16 | (cpl << 5);
      else if (mode !== "protected 32-bit") thirtyTwoBitTables(machine, mode);
  }
  installTables(machine);
  processor.syncTranslation();
  if (mode === "PAE") processor.mmu.loadPdptes(TABLES);
}

function thirtyTwoBitTables(machine: Machine, mode: Mode): void {
  const { memory } = machine.processor;
  const { words } = machine;
  for (let i = 0; i < 1024; i++) {
    if (mode === "PSE") memory.writeU32(TABLES + 4 * i, (i << 22) | 0x87);
    if (mode === "legacy paging") {
      memory.writeU32(TABLES + 4 * i, i < 4 ? (TABLES + 0x1000 * (i + 1)) | 7 : 0);
      for (let table = 0; table < 4; table++)
        memory.writeU32(TABLES + 0x1000 * (table + 1) + 4 * i, ((1024 * table + i) << 12) | 7);
    }
  }
  if (mode === "PAE") {
    memory.writeU64(TABLES, BigInt(TABLES + 0x1000) | 1n);
    for (let i = 1; i < 4; i++) memory.writeU64(TABLES + 8 * i, 0n);
    for (let i = 0; i < 512; i++) memory.writeU64(TABLES + 0x1000 + 8 * i, (BigInt(i) << 21n) | 0x87n);
  }
  words[State.Cr4] = mode === "PSE" ? 0x10 : mode === "PAE" ? 0x20 : 0;
  words[State.Cr0] = 0x80000011 | 0;
}
