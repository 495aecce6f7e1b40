import { PROFILES } from "@hyperwalk/cpu";
import { createXenSystem, HYPERCALL_ABIS, type XenSystem } from "@hyperwalk/xen";
import { elfImage } from "../../packages/xen/test/elf-image.js";
import { checkProcessor, runSystem } from "./checks.js";
import { littleEndian as le } from "./code.js";
import { check, type FuzzKind } from "./fuzz-kind.js";
import type { Random } from "./random.js";

const CODE = 0x100000;
const BODY = 0x1000; // code of each vCPU, from CODE on
const GDT = 0x6000;
const IDT = 0x7000;
const HANDLER = 0x9000;
const EXCEPTION = 0x9100;
const STRUCTS = 0xa000;
const CONTEXTS = 0xb000;
const APIC = 0xfee00000;
const BUDGET = 6000;

/** vCPUs that start, stop, reset and interrupt each other, sleep, spin, and change the memory that all of them use. */
export const severalVcpus: FuzzKind = {
  name: "several vCPUs",
  typed: [],
  run: (random) => {
    const vcpus = 2 + random.below(3);
    const system = createXenSystem({
      profile: random.pick(PROFILES),
      domain: {
        image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 0x8000 }] }),
        memoryBytes: 4 * 2 ** 20,
        abi: random.pick(HYPERCALL_ABIS),
        vcpus,
      },
      accounting: true,
    });
    fill(system, vcpus, random);
    for (let runs = 0; runs < 3; runs++) {
      runSystem(system, BUDGET);
      for (const { pcpu } of system.vcpus) checkProcessor(pcpu.processor, 0, 0);
      const clocks = system.vcpus.map(({ pcpu }) => pcpu.ledger.cycles);
      check(Math.max(...clocks) <= system.cycles, () => `time ${system.cycles}, clocks ${clocks}`);
    }
  },
};

function fill(system: XenSystem, vcpus: number, random: Random): void {
  const { guestMemory } = system.domain;
  const call = caller(system.hardware.hypercallInstruction);
  const write = (at: number, bytes: readonly number[]) => guestMemory.writeBytes(at, Uint8Array.from(bytes));
  const flat = (access: number) => [0xff, 0xff, 0, 0, 0, access, 0xcf, 0];
  write(GDT, [...new Array<number>(8).fill(0), ...flat(0x9b), ...flat(0x93)]);
  write(GDT + 0x20, [...le(23).slice(0, 2), ...le(GDT), ...le(0x7ff).slice(0, 2), ...le(IDT)]);
  for (let vector = 0; vector < 256; vector++) {
    const handler = vector < 32 ? EXCEPTION : HANDLER;
    write(IDT + 8 * vector, [handler & 0xff, handler >>> 8, 8, 0, 0, 0x8e, 0, 0]);
  }
  write(HANDLER, [0xc7, 0x05, ...le(APIC + 0xb0), ...le(0), 0xcf]); // EOI; iret
  const somewhere = CODE + random.below(BODY * vcpus);
  write(EXCEPTION, [0xbc, ...le(0x70000), 0xe9, ...le(somewhere - (EXCEPTION + 10))]); // mov esp; jmp
  for (let at = STRUCTS; at < STRUCTS + 0x400; at += 4)
    if (random.oneIn(2)) guestMemory.writeU32(at, random.oneIn(2) ? random.below(5) : random.value() >>> 0);
  for (let id = 0; id < vcpus; id++) {
    const start = CODE + BODY * id;
    const context = new Array<number>(128).fill(0);
    const put = (at: number, bytes: readonly number[]) => context.splice(at, bytes.length, ...bytes);
    put(24, le(0x80000 - 0x1000 * id));
    put(40, le(start));
    put(48, le(0x11));
    for (let segment = 0; segment < 4; segment++) put(92 + 4 * segment, le(-1));
    put(108, le(0x67));
    put(112, [0x9b, 0xc, 0x93, 0xc, 0x93, 0xc, 0x93, 0xc, 0x8b, 0]);
    if (random.oneIn(6)) put(4 * random.below(32), le(random.value()));
    write(CONTEXTS + 128 * id, context);
    const tables = [0x0f, 0x01, 0x15, ...le(GDT + 0x20), 0x0f, 0x01, 0x1d, ...le(GDT + 0x26)];
    const stack = [0xbc, ...le(0x80000 - 0x1000 * id)];
    const enable = [0xc7, 0x05, ...le(APIC + 0xf0), ...le(0x1ff)];
    const body = [...tables, ...stack, ...enable];
    if (id === 0)
      for (let other = 1; other < vcpus; other++) body.push(...call(24, 0, other), ...call(24, 1, other));
    while (body.length < BODY - 64) body.push(...piece(random, vcpus, call));
    const back = -(body.length + 5);
    write(start, [...body, 0xe9, ...le(back)]);
  }
}

/** mov eax, n; mov ebx, a; mov ecx, b; mov edx, the context or a struct; and the hypercall. */
function caller(instruction: readonly number[]) {
  return (n: number, a: number, b: number, c = CONTEXTS + 128 * b): number[] => [
    ...[0xb8, ...le(n), 0xbb, ...le(a), 0xb9, ...le(b), 0xba, ...le(c), ...instruction],
  ];
}

function piece(random: Random, vcpus: number, call: ReturnType<typeof caller>): number[] {
  const id = random.oneIn(8) ? random.value() : random.below(vcpus);
  const struct = STRUCTS + 16 * random.below(40);
  const store = (offset: number, value: number) => [0xc7, 0x05, ...le(APIC + offset), ...le(value)];
  switch (random.below(12)) {
    case 0:
    case 1: // an interrupt command
      return [
        ...store(0x310, (random.oneIn(4) ? random.byte() : 2 * random.below(vcpus)) << 24),
        ...store(
          0x300,
          (random.below(8) << 8) | (random.below(4) << 18) | random.pick([0x31, 0x100 - 1, 8, 0x4031]),
        ),
      ];
    case 2:
      return call(24, random.pick([0, 1, 2, 3, 11, random.value()]), id);
    case 3: // an event channel's operation
      return call(32, random.below(14), struct, struct);
    case 4:
      return call(29, random.pick([0, 1, 3]), struct, struct);
    case 5: // upcall vector, flush
      return call(34, random.pick([5, 23]), random.oneIn(2) ? 0 : struct, struct);
    case 6: // places of frames
      return call(12, random.pick([1, 6, 7, 15]), struct, struct);
    case 7:
      return random.oneIn(3) ? [0xfb, 0xf4] : [0xfb]; // sti; hlt
    case 8:
      return random.oneIn(12) ? [0xfa, 0xf4] : [0x90]; // cli; hlt
    case 9: // lock inc of something shared
      return [0xf0, 0xff, 0x05, ...le(STRUCTS + 4 * random.below(256))];
    case 10: // code of all of them
      return [0xc6, 0x05, ...le(CODE + random.below(BODY * vcpus)), random.byte()];
    default: // the timer
      return [...store(0x320, 0x30), ...store(0x380, random.below(5000))];
  }
}
