import {
  PROFILES,
  type Processor,
  type ProcessorProfile,
  type ResolvedProfile,
  resolveProfile,
  State,
  StopReason,
} from "@hyperwalk/cpu";
import type { CacheGeometry, ReplacementName, TlbGeometry } from "@hyperwalk/mmu";
import { installTables, Machine, Table } from "../../packages/cpu/test/machine.js";
import { littleEndian, randomCode } from "./code.js";
import { check, type FuzzKind } from "./fuzz-kind.js";
import { enterMode, MODES } from "./modes.js";
import type { Random } from "./random.js";

const CODE = 0x100000;
const PAGES = 12;
const DATA = 0x180000;
const STACK = 0x190000;
const BUDGET = 3000;
/** Cycles in ledger ticks. */
const TICKS = 1e6 * 256;

/** A run cut into pieces of random sizes does what the whole one does: to caches and TLBs with the order in them, too. */
export const pieces: FuzzKind = {
  name: "pieces",
  typed: [],
  run: (random) => {
    const profile = random.pick(PROFILES);
    const shape = small(profile, random);
    const setUp = random.oneIn(3) ? hostile(random) : maze(random);
    const whole = new Machine(shape, 4);
    let cut = new Machine(shape, 4);
    for (const machine of [whole, cut]) {
      setUp(machine);
      machine.processor.syncTranslation();
    }
    const most = 1 + random.below(40);
    const stop = whole.run(BUDGET, TICKS);
    let last: number = StopReason.Budget;
    while (last === StopReason.Budget) {
      const { engine, ledger } = cut.processor;
      if (engine.instructions >= BUDGET || ledger.clock[0] >= TICKS) break;
      if (random.oneIn(16)) cut = another(cut, shape);
      const piece = Math.min(1 + random.below(most), BUDGET - engine.instructions);
      const ticks = random.oneIn(4) ? ledger.clock[0] + random.below(100_000) : TICKS;
      last = cut.run(piece, Math.min(ticks, TICKS));
    }
    check(last === stop, () => `in pieces it stopped with ${last}, in one with ${stop}`);
    compare(whole.processor, cut.processor);
  },
};

/** A machine with the state of one that stands still. */
function another({ processor }: Machine, shape: ResolvedProfile): Machine {
  const machine = new Machine(shape, 4);
  const { memory } = machine.processor;
  memory.restore(processor.memory.snapshot());
  memory.grow();
  machine.processor.restore(processor.snapshot());
  machine.processor.syncTranslation();
  return machine;
}

/** The same processor with caches and TLBs of a few entries. */
function small(profile: ProcessorProfile, random: Random): ResolvedProfile {
  const resolved = resolveProfile(profile);
  const { memory } = resolved;
  const replacement = (): ReplacementName => random.pick(["lru", "tree-plru", "random"] as const);
  const cache = <G extends CacheGeometry>(geometry: G, sets: number): G => {
    const ways = random.pick([2, 4, 8]);
    return { ...geometry, ways, bytes: 64 * ways * sets, replacement: replacement() };
  };
  const array = (entries: number) => (geometry: TlbGeometry) => ({
    ...geometry,
    entries,
    ways: random.pick([2, 4]),
    replacement: replacement(),
  });
  return {
    ...resolved,
    memory: {
      ...memory,
      l1i: cache(memory.l1i, 2),
      l1d: cache(memory.l1d, 2),
      l2: cache(memory.l2, 8),
      l3: cache({ ...memory.l3, policy: random.pick(["victim", "non-inclusive", "inclusive"] as const) }, 16),
      l1Dtlb: memory.l1Dtlb.map(array(4)),
      l1Itlb: memory.l1Itlb.map(array(4)),
      l2Dtlb: memory.l2Dtlb.map(array(8)),
      l2Itlb: memory.l2Itlb.map(array(8)),
    },
  };
}

/** Random bytes as code in any mode. */
function hostile(random: Random): (machine: Machine) => void {
  const mode = random.pick(MODES);
  const cpl = random.oneIn(2) ? 3 : 0;
  const code = randomCode(random, 256);
  const registers = Array.from({ length: 16 }, () => DATA + random.below(0x10000));
  const flags = random.word() & 0x47fd5;
  return (machine) => {
    enterMode(machine, mode, 0x40000, cpl);
    machine.write(0x40000, code);
    registers.forEach((value, r) => {
      machine.setGpr(r, BigInt(value));
    });
    machine.processor.engine.setRflags(flags | 2 | (machine.words[State.Flags] & 0x20000));
  };
}

/** Snippets all over a few 4 KiB pages that jump to each other for ever, in 64-bit mode. */
function maze(random: Random): (machine: Machine) => void {
  const places = Array.from(
    { length: 40 },
    (_, n) => CODE + 4096 * (n % PAGES) + 64 * random.below(60) + random.below(64),
  );
  const snippets = places.map((at) => [at, snippet(random, at, places)] as const);
  return (machine) => {
    machine.long(places[0]);
    const { memory } = machine.processor;
    memory.writeU64(0x3000, 0x4000n | 7n);
    for (let i = 0; i < 512; i++) memory.writeU64(0x4000 + 8 * i, (BigInt(i) << 12n) | 7n);
    for (const [at, code] of snippets) machine.write(at, code);
    installTables(machine);
    for (let vector = 0; vector < 64; vector++) {
      const at = Table.Handlers + 16 * vector;
      // or dword [rsp + 16], RF; iretq; or: mov esp, stack; jmp place
      if (vector === 1) machine.write(at, [0x81, 0x4c, 0x24, 0x10, 0, 0, 1, 0, 0x48, 0xcf]);
      else
        machine.write(at, [
          0xbc,
          ...littleEndian(STACK),
          0xe9,
          ...littleEndian(places[vector % places.length] - at - 10),
        ]);
    }
    machine.setGpr(4, BigInt(STACK));
    machine.setGpr(7, BigInt(DATA));
    machine.setGpr(6, BigInt(DATA + 0x4000));
    machine.setGpr(3, 3n);
  };
}

function snippet(random: Random, at: number, places: readonly number[]): number[] {
  const code: number[] = [];
  const data = () => littleEndian(DATA + random.below(0x8000));
  const steps: readonly (() => number[])[] = [
    () => Array(1 + random.below(12)).fill(0x90),
    () => [0x8b, 0x04, 0x25, ...data()], // mov eax, [data]
    () => [0x89, 0x04, 0x25, ...data()],
    () => [0xf0, 0xff, 0x04, 0x25, ...data()], // lock inc dword [data]
    () => [0x0f, 0x31],
    () => [0x0f, 0xae, 0x3c, 0x25, ...littleEndian(random.pick(places))], // clflush [code]
    () => [0x0f, 0x01, 0x3c, 0x25, ...littleEndian(random.pick(places))], // invlpg [code]
    () => [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8], // mov rax, cr3; mov cr3, rax
    () => [
      0x8a,
      0x04,
      0x25,
      ...littleEndian(random.pick(places)),
      0x88,
      0x04,
      0x25,
      ...littleEndian(random.pick(places)),
    ],
    // mov edi, data; mov ecx, n; rep stosb
    () => [0xbf, ...data(), 0xb9, ...littleEndian(random.below(6000)), 0xf3, 0xaa],
    () => [
      0xbf,
      ...data(),
      0xbe,
      ...data(),
      0xb9,
      ...littleEndian(random.below(random.pick([10, 200, 3000]))),
      0xf3,
      0xa4,
    ],
    // mov ecx, n; dec ecx; jnz back
    () => [0xb9, ...littleEndian(1 + random.below(20)), 0xff, 0xc9, 0x75, 0xfc],
    // mov ecx, n; long nop; dec ecx; jnz back, which may lie across lines
    () => [
      0xb9,
      ...littleEndian(1 + random.below(20)),
      0x66,
      0x0f,
      0x1f,
      0x84,
      0,
      0,
      0,
      0,
      0,
      0xff,
      0xc9,
      0x75,
      0xf3,
    ],
    () => [0xf3, 0xa6], // repe cmpsb
    () => [random.pick([0xfb, 0xfa, 0xfc])], // sti, cli, cld
    () => [0xfd], // std
    () => [0x8e, 0xd8], // mov ds, ax: faults as a rule
    () => [0x9c, 0x81, 0x34, 0x24, ...littleEndian(0x100), 0x9d], // pushf; xor dword [rsp], TF; popf
    // mov eax, code; mov dr0, rax; mov eax, how; mov dr7, rax
    () => [
      0xb8,
      ...(random.oneIn(2) ? littleEndian(random.pick(places)) : data()),
      ...[0x0f, 0x23, 0xc0, 0xb8],
      ...littleEndian(random.pick([0x402, 0x402, 0x10402, 0x30402, 0x400])),
      ...[0x0f, 0x23, 0xf8],
    ],
  ];
  const count = 1 + random.below(5);
  for (let i = 0; i < count; i++)
    code.push(...steps[random.below(random.oneIn(6) ? steps.length : steps.length - 4)]());
  // dec ebx; jnz to one place, else (mov ebx, 3) jump to another
  const jump = (opcode: readonly number[]) => {
    const from = at + code.length + opcode.length + 4;
    code.push(...opcode, ...littleEndian(random.pick(places) - from));
  };
  code.push(0xff, 0xcb);
  jump([0x0f, 0x85]);
  code.push(0xbb, ...littleEndian(1 + random.below(5)));
  jump([0xe9]);
  return code;
}

/** Everything has to be the same but the values of stamps, whose order within each set has to be. */
function compare(a: Processor, b: Processor): void {
  const [whole, cut] = [a, b].map((processor) => {
    // Ranks in place of stamps.
    Reflect.get(processor.mmu, "clock").renormalise();
    return { ...processor.snapshot(), memory: processor.memory.snapshot() };
  });
  const differences = differing("", whole, cut);
  check(differences.length === 0, () => `different in pieces: ${differences.slice(0, 8).join("; ")}`);
}

/** One line for each leaf that differs. */
function differing(path: string, a: unknown, b: unknown): string[] {
  if (Object.is(a, b)) return [];
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null)
    return [`${path} ${a} ${b}`];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) => differing(`${path}.${key}`, Reflect.get(a, key), Reflect.get(b, key)));
}
