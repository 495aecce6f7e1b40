import { Processor, type ProcessorProfile, State } from "@hyperwalk/cpu";
import { Assembler, eax, rcx } from "@hyperwalk/guest-sdk";
import { Arena, LongModeTables, Pte } from "@hyperwalk/mmu";
import { enterLongMode } from "./long-mode.js";

export type BareInstruction =
  | "CPUID leaf 0"
  | "CPUID leaf 1"
  | "RDTSC"
  | "LFENCE"
  | "MFENCE"
  | "SFENCE"
  | "PAUSE"
  | "PUSHF and POPF";

interface Timed {
  /** What has to go before it, whose time is taken off. */
  readonly before: (a: Assembler) => void;
  readonly body: (a: Assembler) => void;
}

const alone = (body: (a: Assembler) => void): Timed => ({ before: () => {}, body });
const cpuid = (leaf: number): Timed => ({
  before: (a) => a.mov(eax, leaf),
  body: (a) => a.plain("cpuid"),
});

/** What can be timed without a hypervisor. */
const INSTRUCTIONS: Readonly<Record<BareInstruction, Timed>> = {
  "CPUID leaf 0": cpuid(0),
  "CPUID leaf 1": cpuid(1),
  RDTSC: alone((a) => a.plain("rdtsc")),
  LFENCE: alone((a) => a.plain("lfence")),
  MFENCE: alone((a) => a.plain("mfence")),
  SFENCE: alone((a) => a.raw(0x0f, 0xae, 0xf8)),
  PAUSE: alone((a) => a.plain("pause")),
  "PUSHF and POPF": alone((a) => a.raw(0x9c, 0x9d)),
};

const CODE = 0x1000;
const STACK = 0x9000;
const TABLES = 0x100;
const MEMORY_BYTES = 4 * 2 ** 20;
const OPEN = Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty;
const UNROLLED = 16;
const ROUNDS = 64;

/** Cycles of one instruction in long mode at CPL 0, in the steady state: the time of a loop with it, less that of one without. */
export function measureBare(profile: ProcessorProfile, instruction: BareInstruction): number {
  const { before, body } = INSTRUCTIONS[instruction];
  const both = cyclesOf(profile, (a) => {
    before(a);
    body(a);
  });
  return (both - cyclesOf(profile, before)) / UNROLLED;
}

/** Cycles of a round of so many copies. */
function cyclesOf(profile: ProcessorProfile, body: (a: Assembler) => void): number {
  const a = new Assembler({ physical: CODE, linear: BigInt(CODE) });
  const loop = a.here("loop");
  // CPUID overwrites RCX.
  a.push(rcx);
  for (let i = 0; i < UNROLLED; i++) body(a);
  a.pop(rcx);
  a.dec(rcx);
  a.jcc("ne", loop);
  a.plain("hlt");
  const code = a.link();
  const processor = new Processor({ profile, arena: new Arena(MEMORY_BYTES) });
  const { memory, state, engine, ledger } = processor;
  memory.addRam(0, MEMORY_BYTES / 4096);
  memory.writeBytes(CODE, code);
  let next = TABLES;
  const tables = new LongModeTables({ memory, allocate: () => next++ });
  tables.mapRange(0, 0, 64, "4k", OPEN);
  enterLongMode(processor, tables.rootFrame);
  const { words } = state;
  const run = (): number => {
    const from = ledger.cycles;
    words[State.Gpr + 2] = ROUNDS;
    words[State.Gpr + 3] = 0;
    words[State.Gpr + 8] = STACK;
    words[State.Gpr + 9] = 0;
    words[State.RipLo] = CODE;
    words[State.RipHi] = 0;
    const stop = engine.run(1_000_000, Number.POSITIVE_INFINITY);
    if (words[State.Gpr + 2] !== 0)
      throw new Error(`the loop stopped (${stop}) with ${words[State.Gpr + 2]} rounds to go`);
    return ledger.cycles - from;
  };
  run();
  return run() / ROUNDS;
}
