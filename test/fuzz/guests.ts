import { PROFILES } from "@hyperwalk/cpu";
import { hypercallBenchImage } from "@hyperwalk/guest-sdk";
import { createXenSystem, HYPERCALL_ABIS, ImageError, XenConfigError, type XenSystem } from "@hyperwalk/xen";
import { elfImage } from "../../packages/xen/test/elf-image.js";
import { runSystem } from "./checks.js";
import { littleEndian as le, randomCode } from "./code.js";
import type { FuzzKind } from "./fuzz-kind.js";
import type { Random } from "./random.js";

const CODE = 0x100000;
const BODY = CODE + 0x200;
const GDT = 0x6000;
const IDT = 0x7000;
const TABLES = 0x10000;
const STACK = 0x80000;
const MEMORY = 8 * 2 ** 20;
const BUDGET = 5000;

const MODES = [
  "real",
  "protected 16-bit",
  "protected 32-bit",
  "PSE",
  "PAE",
  "compatibility",
  "64-bit",
] as const;
type Mode = (typeof MODES)[number];

/** A PVH guest that a case fills with code. */
function domain(random: Random): XenSystem {
  return createXenSystem({
    profile: random.pick(PROFILES),
    xen: random.oneIn(2) ? {} : { ibpbEntry: random.oneIn(2), rsbOverwrite: random.oneIn(2) },
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
      memoryBytes: MEMORY,
      abi: random.pick(HYPERCALL_ABIS),
      p2mPage: random.pick(["4k", "2m"] as const),
      hardwareDomain: random.oneIn(4),
    },
    accounting: true,
  });
}

/** Code that leads from flat 32-bit mode without paging to a mode, and there to {@link BODY}. */
function wayTo(mode: Mode): number[] {
  const lgdt = [0x0f, 0x01, 0x15, ...le(GDT + 0x40), 0x0f, 0x01, 0x1d, ...le(GDT + 0x48)];
  const stack = [0xbc, ...le(STACK)];
  const paging = (cr4: number, tables: number, long: boolean) => [
    ...[0xb8, ...le(cr4), 0x0f, 0x22, 0xe0, 0xb8, ...le(tables), 0x0f, 0x22, 0xd8],
    ...(long ? [0xb9, ...le(0xc0000080), 0xb8, ...le(0x100), 0x31, 0xd2, 0x0f, 0x30] : []),
    ...[0xb8, ...le(0x80010011), 0x0f, 0x22, 0xc0],
  ];
  const jump = (selector: number, to = BODY) => [0xea, ...le(to), selector, 0];
  switch (mode) {
    case "real":
      // Through 16-bit code to CR0.PE = 0, all below 64 KiB: the body is copied there.
      return [...lgdt, ...jump(0x18, 0x5000)];
    case "protected 16-bit":
      return [...lgdt, ...stack, ...jump(0x28)];
    case "protected 32-bit":
      return [...lgdt, ...stack, ...jump(8)];
    case "PSE":
      return [...lgdt, ...stack, ...paging(0x10, TABLES, false), ...jump(8)];
    case "PAE":
      return [...lgdt, ...stack, ...paging(0x20, TABLES + 0x1000, false), ...jump(8)];
    default:
      return [
        ...lgdt,
        ...stack,
        ...paging(0x20, TABLES + 0x2000, true),
        ...jump(mode === "64-bit" ? 0x20 : 8),
      ];
  }
}

/** Writes code, descriptor tables and page tables of all modes into a guest. */
function fill(system: XenSystem, mode: Mode, body: readonly number[], random: Random): void {
  const { guestMemory } = system.domain;
  const write = (at: number, bytes: readonly number[]) => guestMemory.writeBytes(at, Uint8Array.from(bytes));
  const segment = (base: number, access: number, flags: number) => [
    ...[0xff, 0xff, base & 0xff, (base >>> 8) & 0xff, (base >>> 16) & 0xff, access, flags, base >>> 24],
  ];
  write(GDT, [
    ...new Array<number>(8).fill(0),
    ...segment(0, 0x9b, 0xcf),
    ...segment(0, 0x93, 0xcf),
    ...segment(0, 0x9b, 0x0f), // 16-bit code from 0
    ...segment(0, 0x9b, 0xaf),
    ...segment(BODY - (BODY & 0xffff), 0x9b, 0x0f),
    ...segment(0, 0x8b, 0x00), // TSS at 0
  ]);
  write(GDT + 0x40, [...le(0x37).slice(0, 2), ...le(GDT), 0, 0, ...le(0x7ff).slice(0, 2), ...le(IDT)]);
  const gate = mode === "64-bit" || mode === "compatibility" ? 16 : 8;
  const code = gate === 16 ? 0x20 : 8;
  for (let vector = 0; vector < 0x800 / gate; vector++) {
    const handler = random.oneIn(8) ? random.below(0x10000) : 0x9000;
    write(IDT + gate * vector, [
      handler & 0xff,
      handler >>> 8,
      code,
      0,
      0,
      0x8e,
      0,
      0,
      ...new Array(gate - 8).fill(0),
    ]);
  }
  write(0x9000, random.oneIn(2) ? [0xf4] : [0x83, 0xc4, 0x04, 0xcf]); // hlt; or add esp, 4; iret
  const pse: number[] = [];
  const wide: number[] = [];
  for (let i = 0; i < 512; i++) {
    pse.push(...le((i << 22) | 0x87));
    wide.push(...le((i << 21) | 0x87), 0, 0, 0, 0);
  }
  write(TABLES, pse);
  write(TABLES + 0x1000, [...le(TABLES + 0x4001), 0, 0, 0, 0]);
  write(TABLES + 0x2000, [...le(TABLES + 0x3007), 0, 0, 0, 0]);
  write(TABLES + 0x3000, [...le(TABLES + 0x4007), 0, 0, 0, 0]);
  write(TABLES + 0x4000, wide);
  // mov eax, cr0; and al, feh; mov cr0, eax; jmp 0:5010h
  write(0x5000, [0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xea, 0x10, 0x50, 0, 0]);
  write(0x5010, body.slice(0, 0x400));
  write(CODE, wayTo(mode));
  write(BODY, body);
}

/** Random bytes as a guest's code in every mode, under Xen. */
export const guestCode: FuzzKind = {
  name: "guest code",
  typed: [],
  run: (random) => {
    const system = domain(random);
    fill(system, random.pick(MODES), randomCode(random, 1024), random);
    for (let runs = 0; runs < 3; runs++) runSystem(system, BUDGET);
  },
};

const NUMBERS = [2, 12, 17, 18, 20, 24, 29, 32, 34, 41, 47];

/** Hypercalls with random numbers and registers, in every mode that may make them. */
export const hypercalls: FuzzKind = {
  name: "hypercalls",
  typed: [],
  run: (random) => {
    const mode = random.pick(["protected 32-bit", "PAE", "64-bit"] as const);
    const body: number[] = [];
    const wide = mode === "64-bit";
    const intoRegister = (register: number, value: number) => {
      if (wide && register >= 8) body.push(0x41);
      body.push(0xb8 + (register & 7), ...le(value));
    };
    while (body.length < 3000) {
      for (const register of wide ? [3, 1, 2, 6, 7, 5, 8, 9, 10] : [3, 1, 2, 6, 7, 5])
        if (random.oneIn(2))
          intoRegister(register, random.oneIn(3) ? 0x300000 + random.below(0x2000) : random.value());
      intoRegister(
        0,
        (random.oneIn(8) ? random.value() : random.pick(NUMBERS)) | (random.oneIn(3) ? 0x40000000 : 0),
      );
      if (random.oneIn(16)) body.push(...[0x0f, 0xa2]);
      body.push(0x0f, 0x01, random.oneIn(2) ? 0xc1 : 0xd9);
    }
    const system = domain(random);
    fill(system, mode, body, random);
    const { guestMemory } = system.domain;
    guestMemory.writeBytes(
      0x9000,
      Uint8Array.of(...(wide ? [0x48, 0x83, 0x04, 0x24, 3, 0x48, 0xcf] : [0x83, 0x04, 0x24, 3, 0xcf])),
    ); // #UD of the other vendor's instruction: skip it
    for (let at = 0x300000; at < 0x303000; at += 4)
      if (random.oneIn(4)) guestMemory.writeU32(at, random.value() >>> 0);
    runSystem(system, BUDGET);
  },
};

/** ELF and multiboot images with random bytes in their headers, cut short, or all at random. */
export const images: FuzzKind = {
  name: "images",
  typed: [ImageError, XenConfigError],
  run: (random) => {
    const image = spoiledImage(random);
    const system = createXenSystem({
      profile: random.pick(PROFILES),
      domain: {
        image,
        boot: random.pick([undefined, undefined, "pvh", "hvm", "multiboot"] as const),
        modules: random.oneIn(4) ? [{ bytes: Uint8Array.from(random.bytes(100)), cmdline: "a" }] : [],
        cmdline: random.oneIn(2) ? "" : "x".repeat(random.below(5000)),
        memoryBytes: random.pick([2 ** 20, 2 ** 21, 2 ** 24, 2 ** 26]),
        abi: random.pick(HYPERCALL_ABIS),
      },
    });
    runSystem(system, BUDGET);
  },
};

function multiboot(random: Random): Uint8Array {
  const image = Uint8Array.from([...new Array<number>(32).fill(0), ...randomCode(random, 256)]);
  const view = new DataView(image.buffer);
  const flags = random.oneIn(4) ? random.value() : 0x10000;
  const words = [0x1badb002, flags, -(0x1badb002 + flags), CODE, CODE, 0, 0, CODE + 32];
  if (random.oneIn(2)) words[3 + random.below(5)] = random.value();
  words.forEach((word, i) => {
    view.setUint32(4 * i, word >>> 0, true);
  });
  return image;
}

function spoiledImage(random: Random): Uint8Array {
  const sources = [
    () => Uint8Array.from(random.bytes(random.below(400))),
    () => multiboot(random),
    () => elfImage({ bits: random.oneIn(2) ? 32 : 64, segments: [{ address: CODE, bytes: 256 }] }),
    () => hypercallBenchImage().slice(),
  ];
  const image = random.pick(sources)();
  if (image.length === 0) return image;
  for (let i = random.below(6); i > 0; i--) {
    const at = random.below(Math.min(image.length, 600));
    if (random.oneIn(2)) image[at] = random.byte();
    else image.set(le(random.value()).slice(0, image.length - at), at);
  }
  return random.oneIn(6) ? image.subarray(0, random.below(image.length)) : image;
}
