import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { registers, VectorMachine } from "./vector-machine.js";

/** One element of a packed operation by its definition: numbers of any size in, cut to the element's width. */
interface Lane {
  readonly opcode: readonly number[];
  /** Bytes of an element. */
  readonly width: number;
  readonly signed?: boolean;
  readonly result: (a: bigint, b: bigint) => bigint;
}

function minimum(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

function maximum(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

const clamp = (low: bigint, high: bigint) => (x: bigint) => minimum(maximum(x, low), high);
const bounds = (width: number, signed: boolean) => {
  const bits = BigInt(8 * width);
  return signed ? clamp(-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n) : clamp(0n, (1n << bits) - 1n);
};
const truth = (holds: boolean) => (holds ? -1n : 0n);
const sign = (a: bigint, b: bigint) => (b < 0n ? -a : b === 0n ? 0n : a);
const absolute = (b: bigint) => (b < 0n ? -b : b);

function sums(width: number, add: number, subtract: number): [string, Lane][] {
  return [
    [`padd ${width}`, { opcode: [add], width, result: (a, b) => a + b }],
    [`psub ${width}`, { opcode: [subtract], width, result: (a, b) => a - b }],
  ];
}

function saturating(width: number, signed: boolean, add: number, subtract: number): [string, Lane][] {
  const fit = bounds(width, signed);
  return [
    [`padd${signed ? "s" : "us"} ${width}`, { opcode: [add], width, signed, result: (a, b) => fit(a + b) }],
    [
      `psub${signed ? "s" : "us"} ${width}`,
      { opcode: [subtract], width, signed, result: (a, b) => fit(a - b) },
    ],
  ];
}

function both(name: string, opcodes: readonly number[], result: Lane["result"], map: number[] = []) {
  return opcodes.map((opcode, i): [string, Lane] => [
    `${name} ${1 << i}`,
    { opcode: [...map, opcode], width: 1 << i, signed: true, result },
  ]);
}

/** Those that MMX and vector registers share. */
const SHARED: readonly [string, Lane][] = [
  ...sums(1, 0xfc, 0xf8),
  ...sums(2, 0xfd, 0xf9),
  ...sums(4, 0xfe, 0xfa),
  ...sums(8, 0xd4, 0xfb),
  ...saturating(1, true, 0xec, 0xe8),
  ...saturating(2, true, 0xed, 0xe9),
  ...saturating(1, false, 0xdc, 0xd8),
  ...saturating(2, false, 0xdd, 0xd9),
  ...both("pcmpeq", [0x74, 0x75, 0x76], (a, b) => truth(a === b)),
  ...both("pcmpgt", [0x64, 0x65, 0x66], (a, b) => truth(a > b)),
  ...both("psign", [0x08, 0x09, 0x0a], sign, [0x38]),
  ...both("pabs", [0x1c, 0x1d, 0x1e], (_, b) => absolute(b), [0x38]),
  ["pminub", { opcode: [0xda], width: 1, result: minimum }],
  ["pmaxub", { opcode: [0xde], width: 1, result: maximum }],
  ["pminsw", { opcode: [0xea], width: 2, signed: true, result: minimum }],
  ["pmaxsw", { opcode: [0xee], width: 2, signed: true, result: maximum }],
  ["pavgb", { opcode: [0xe0], width: 1, result: (a, b) => (a + b + 1n) >> 1n }],
  ["pavgw", { opcode: [0xe3], width: 2, result: (a, b) => (a + b + 1n) >> 1n }],
  ["pmullw", { opcode: [0xd5], width: 2, signed: true, result: (a, b) => a * b }],
  ["pmulhw", { opcode: [0xe5], width: 2, signed: true, result: (a, b) => (a * b) >> 16n }],
  ["pmulhuw", { opcode: [0xe4], width: 2, result: (a, b) => (a * b) >> 16n }],
  ["pmulhrsw", { opcode: [0x38, 0x0b], width: 2, signed: true, result: (a, b) => (a * b + 0x4000n) >> 15n }],
  ["pmuludq", { opcode: [0xf4], width: 8, result: (a, b) => BigInt.asUintN(32, a) * BigInt.asUintN(32, b) }],
  ["pand", { opcode: [0xdb], width: 8, result: (a, b) => a & b }],
  ["pandn", { opcode: [0xdf], width: 8, result: (a, b) => ~a & b }],
  ["por", { opcode: [0xeb], width: 8, result: (a, b) => a | b }],
  ["pxor", { opcode: [0xef], width: 8, result: (a, b) => a ^ b }],
  [
    "pmaddwd",
    {
      opcode: [0xf5],
      width: 4,
      result: (a, b) =>
        BigInt.asIntN(16, a) * BigInt.asIntN(16, b) +
        BigInt.asIntN(16, a >> 16n) * BigInt.asIntN(16, b >> 16n),
    },
  ],
];

const VECTOR_ONLY: readonly [string, Lane][] = [
  ["pcmpeqq", { opcode: [0x38, 0x29], width: 8, signed: true, result: (a, b) => truth(a === b) }],
  ["pcmpgtq", { opcode: [0x38, 0x37], width: 8, signed: true, result: (a, b) => truth(a > b) }],
  ["pminsb", { opcode: [0x38, 0x38], width: 1, signed: true, result: minimum }],
  ["pminsd", { opcode: [0x38, 0x39], width: 4, signed: true, result: minimum }],
  ["pminuw", { opcode: [0x38, 0x3a], width: 2, result: minimum }],
  ["pminud", { opcode: [0x38, 0x3b], width: 4, result: minimum }],
  ["pmaxsb", { opcode: [0x38, 0x3c], width: 1, signed: true, result: maximum }],
  ["pmaxsd", { opcode: [0x38, 0x3d], width: 4, signed: true, result: maximum }],
  ["pmaxuw", { opcode: [0x38, 0x3e], width: 2, result: maximum }],
  ["pmaxud", { opcode: [0x38, 0x3f], width: 4, result: maximum }],
  ["pmulld", { opcode: [0x38, 0x40], width: 4, signed: true, result: (a, b) => a * b }],
  [
    "pmuldq",
    { opcode: [0x38, 0x28], width: 8, result: (a, b) => BigInt.asIntN(32, a) * BigInt.asIntN(32, b) },
  ],
];

function lanes(bytes: Uint8Array, { width, signed }: Lane): bigint[] {
  const count = bytes.length / width;
  return Array.from({ length: count }, (_, i) => {
    let value = 0n;
    for (let j = width - 1; j >= 0; j--) value = (value << 8n) | BigInt(bytes[i * width + j]);
    return signed === true ? BigInt.asIntN(8 * width, value) : value;
  });
}

function reference(lane: Lane, a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length);
  const left = lanes(a, lane);
  const right = lanes(b, lane);
  left.forEach((value, i) => {
    let rest = lane.result(value, right[i]);
    for (let j = 0; j < lane.width; j++, rest >>= 8n) out[i * lane.width + j] = Number(rest & 0xffn);
  });
  return out;
}

/** Bytes among which signs, carries and equal elements are common. */
const operand = (length: number) =>
  fc
    .uint8Array({ minLength: length, maxLength: length })
    .chain((bytes) =>
      fc
        .constantFrom(0, 1, 2, 3)
        .map((kind) =>
          kind === 0 ? bytes : bytes.map((byte) => [0, 0x80, 0x7f, 0xff, byte][(byte >> 2) % (2 + kind)]),
        ),
    );

describe("packed operations do to each element what they say", () => {
  const machine = new VectorMachine();

  it.each([...SHARED, ...VECTOR_ONLY])("%s on vector registers", (_name, lane) => {
    fc.assert(
      fc.property(operand(16), operand(16), (a, b) => {
        machine.setXmm(1, a);
        machine.setXmm(2, b);
        machine.execute(registers(0x66, lane.opcode, 1, 2));
        expect(machine.xmm(1)).toEqual(reference(lane, a, b));
        expect(machine.xmm(2)).toEqual(b);
      }),
      { numRuns: 60 },
    );
  });

  it.each(SHARED)("%s on MMX registers", (_name, lane) => {
    fc.assert(
      fc.property(operand(8), operand(8), (a, b) => {
        machine.setMmx(1, a);
        machine.setMmx(2, b);
        machine.execute(registers(0, lane.opcode, 1, 2));
        expect(machine.mmx(1)).toEqual(reference(lane, a, b));
      }),
      { numRuns: 60 },
    );
  });
});
