import { PROFILES, State } from "@hyperwalk/cpu";
import { Machine } from "../../packages/cpu/test/machine.js";
import { checkProcessor } from "./checks.js";
import { randomCode } from "./code.js";
import type { FuzzKind } from "./fuzz-kind.js";
import { enterMode, MODES, type Mode, TABLES } from "./modes.js";
import type { Random } from "./random.js";

const CODE = 0x40000;
const RAM = 0x300000;
const BUDGET = 2000;
const ROUNDS = 8;
/** Cycles in ledger ticks that a round may take. */
const TICKS = 1e6 * 256;
const PAGED: readonly Mode[] = MODES.slice(4);

/** Random bytes as code in every mode, on a processor without a hypervisor. */
export const bareCode: FuzzKind = {
  name: "code",
  typed: [],
  run: (random) => bare(random, MODES, () => {}),
};

/** The same under random page tables: some entries changed, or whole tables at random. */
export const pageTables: FuzzKind = {
  name: "page tables",
  typed: [],
  run: (random) => bare(random, PAGED, spoilTables),
};

function bare(
  random: Random,
  modes: readonly Mode[],
  spoil: (machine: Machine, random: Random) => void,
): void {
  const machine = new Machine(random.pick(PROFILES), 4);
  const { processor, words } = machine;
  for (let round = 0; round < ROUNDS; round++) {
    enterMode(machine, random.pick(modes), CODE, random.oneIn(2) ? 3 : 0);
    machine.write(CODE, randomCode(random, 256));
    for (let r = 0; r < 16; r++)
      machine.setGpr(r, BigInt(random.oneIn(3) ? random.value() >>> 0 : RAM + random.below(0x10000)));
    machine.setGpr(4, BigInt(random.oneIn(8) ? random.value() >>> 0 : RAM));
    if (random.oneIn(4)) words[2 * random.below(16) + 1] = random.word();
    if (random.oneIn(3)) words[State.Cr0] ^= random.pick([1 << 16, 1 << 5, 8, 4, 2]);
    if (random.oneIn(3)) words[State.Cr4] |= random.value() & 0x7f1fff & ~0x3020;
    if (random.oneIn(8)) processor.raiseNmi();
    if (random.oneIn(8)) processor.apic.accept(0, random.byte(), random.oneIn(2));
    processor.engine.setRflags((random.word() & 0x47fd5) | 2 | (words[State.Flags] & 0x20000));
    spoil(machine, random);
    processor.syncTranslation();
    processor.mmu.invalidateAll();
    const before = processor.engine.instructions;
    const until = processor.ledger.clock[0] + TICKS;
    for (let runs = 0; runs < 4; runs++) machine.run(BUDGET / 4, until);
    checkProcessor(processor, processor.engine.instructions - before, BUDGET);
  }
}

function spoilTables({ processor }: Machine, random: Random): void {
  const { memory } = processor;
  const entry = () => TABLES + 4 * random.below(0x1800);
  if (random.oneIn(4)) {
    const table = TABLES + 0x1000 * random.below(6);
    for (let i = 0; i < 512; i++) {
      memory.writeU32(table + 8 * i, tableEntry(random) >>> 0);
      memory.writeU32(table + 8 * i + 4, random.oneIn(3) ? random.word() >>> 0 : 0);
    }
  }
  for (let i = random.below(64); i > 0; i--) memory.writeU32(entry(), tableEntry(random) >>> 0);
  for (let i = random.below(8); i > 0; i--)
    memory.writeU32(TABLES + 8 * random.below(8), tableEntry(random) >>> 0);
}

/** Low word of an entry: present as a rule, to a table, to other RAM or to nowhere. */
function tableEntry(random: Random): number {
  const flags = (random.word() & 0xfff) | (random.oneIn(8) ? 0 : 1);
  const frame = random.pick([
    TABLES + 0x1000 * random.below(6),
    random.below(0x400) << 12,
    random.value() & -4096,
  ]);
  return frame | flags;
}
