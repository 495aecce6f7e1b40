import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { PHYSICAL_FLAVOUR } from "../src/abi/percall.ts";
import { scatterGather } from "../src/abi/scatter-gather.ts";
import { Errno } from "../src/errno.ts";
import {
  MAX_TUPLES,
  SCATTER_GATHER_FORMS,
  type ScatterGatherForm,
} from "../src/guest-access/scatter-gather.ts";
import { END, flatGuest, le } from "./flat-guest.ts";
import { type Call, LINEAR, makeCalls, PHYSICAL, quads } from "./scripted-calls.ts";

vi.setConfig({ testTimeout: 60_000 });

const MULTICALL = 13;
const MEMORY_OP = 12;
const VCPU_OP = 24;
const SCHED_OP = 29;
const { EFAULT } = Errno;
const GET_RUNSTATE = [VCPU_OP | PHYSICAL_FLAVOUR, 4, 0] as const;
/** Offsets in the guest's megabyte. */
const LISTS = 0x8000;
const frame = (offset: number) => (PHYSICAL + offset) / 4096;
const u64 = (bytes: Uint8Array, at = 0) => Number(new DataView(bytes.buffer).getBigUint64(at, true));

/** Pieces of one buffer: [offset, bytes], all but the last up to the end of a page, all but the first from its start. */
type Pieces = readonly (readonly [number, number])[];

/** The description of a buffer in a form, and the pointer to it, which lies at `at`. */
function describeBuffer(
  form: ScatterGatherForm,
  pieces: Pieces,
  at: number,
): { list: Uint8Array; pointer: number } {
  const frames = () =>
    quads(pieces[0][0] % 4096, ...pieces.map(([offset]) => frame(offset - (offset % 4096))));
  const tuples = () => quads(...pieces.flatMap(([offset, bytes]) => [PHYSICAL + offset, bytes]));
  if (form === "frames") return { list: frames(), pointer: PHYSICAL + at };
  if (form === "tuples") return { list: tuples(), pointer: PHYSICAL + at };
  return at % 32 === 0
    ? { list: frames(), pointer: PHYSICAL + at + 1 }
    : { list: tuples(), pointer: PHYSICAL + at + 2 };
}

/** 20 bytes at the end of a page, the rest in one that lies before it. */
const SPLIT: Pieces = [
  [0x5fec, 20],
  [0x2000, 4096],
];

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("buffers in pieces, under %s", (_, profile) => {
  it.each([
    ["frames", LISTS],
    ["tuples", LISTS],
    ["descriptor", LISTS],
    ["descriptor", LISTS + 8],
  ] as const)("are put together as one, by %s at %i", (form, at) => {
    const { list, pointer } = describeBuffer(form, SPLIT, at);
    const { results, bytes, system } = makeCalls(
      profile,
      scatterGather(form),
      [
        [...GET_RUNSTATE, pointer],
        [VCPU_OP, 4, 0, LINEAR],
      ],
      (write) => write(at, list),
    );
    expect(results).toEqual([0, 0]);
    const record = new Uint8Array([...bytes(0x5fec, 20), ...bytes(0x2000, 28)]);
    const reference = bytes(0, 48);
    expect(record.slice(0, 16)).toEqual(reference.slice(0, 16)); // state and entry time
    expect(u64(record, 16)).toBeGreaterThan(0);
    expect(u64(record, 16)).toBeLessThan(u64(reference, 16));
    for (let gfn = frame(0); gfn < frame(0x10000); gfn++)
      expect(system.frameTable.references(system.domain.p2m.translate(gfn))).toBe(1);
  });

  it("cost what their description costs: a look-up for each word or pair read, and one for each piece", () => {
    const lookups = (form: ScatterGatherForm, pieces: Pieces, at = LISTS) => {
      const { list, pointer } = describeBuffer(form, pieces, at);
      const call = [...GET_RUNSTATE, pointer];
      const { results, counts } = makeCalls(profile, scatterGather(form), [call], (write) => write(at, list));
      expect(results).toEqual([0]);
      expect(counts[0].guestPteReads).toBe(0);
      return counts[0].p2mLookups;
    };
    const whole: Pieces = [[0x1000, 4096]];
    expect(lookups("frames", whole)).toBe(2);
    expect(lookups("frames", SPLIT)).toBe(4);
    expect(lookups("tuples", whole)).toBe(2);
    expect(lookups("tuples", SPLIT)).toBe(4);
    const small: Pieces = Array.from({ length: 6 }, (_, i) => [0x1000 + 64 * i, 8]);
    expect(lookups("tuples", small)).toBe(12);
    const { counts } = makeCalls(profile, scatterGather("descriptor"), [[...GET_RUNSTATE, PHYSICAL]]);
    expect(counts[0]).toEqual({ p2mLookups: 1, guestPteReads: 0 }); // flat
  });

  it.each(SCATTER_GATHER_FORMS)(
    "hold nested buffers, whose addresses the guest finds as it left them: %s",
    (form) => {
      const map: Pieces = [
        [0x4ff0, 16],
        [0x3000, 4096],
      ];
      const buffer = describeBuffer(form, map, LISTS + 64);
      const argument = describeBuffer(form, [[0x1000, 16]], LISTS);
      const ports = describeBuffer(form, [[0x1100, 8]], LISTS + 128);
      const poll = describeBuffer(form, [[0x1200, 24]], LISTS + 192);
      const { results, bytes } = makeCalls(
        profile,
        scatterGather(form),
        [
          [MEMORY_OP | PHYSICAL_FLAVOUR, 9, argument.pointer],
          [SCHED_OP | PHYSICAL_FLAVOUR, 3, poll.pointer],
          [SCHED_OP | PHYSICAL_FLAVOUR, 3, describeBuffer(form, [[0x1300, 24]], LISTS + 256).pointer],
        ],
        (write) => {
          write(LISTS, argument.list);
          write(LISTS + 64, buffer.list);
          write(LISTS + 128, ports.list);
          write(LISTS + 192, poll.list);
          write(LISTS + 256, describeBuffer(form, [[0x1300, 24]], LISTS + 256).list);
          write(0x1000, quads(8, buffer.pointer));
          write(0x1100, quads(3));
          write(0x1200, quads(ports.pointer, 1, 1));
          write(0x1300, quads(PHYSICAL + 0x7ff_0003, 1, 1)); // no list there
        },
      );
      expect([results[0], results[1] === -EFAULT, results[2]]).toEqual([0, false, -EFAULT]);
      const [entries, pointer] = [u64(bytes(0x1000, 8)), u64(bytes(0x1008, 8))];
      expect([entries & 0xffff_ffff, pointer]).toEqual([entries & 0xff, buffer.pointer]);
      const e820 = new Uint8Array([...bytes(0x4ff0, 16), ...bytes(0x3000, 4)]);
      expect([u64(e820), u64(e820, 8) > 0, e820[16]]).toEqual([0, true, 1]); // RAM from 0
    },
  );

  it.each(SCATTER_GATHER_FORMS)("go on where a preempted call was, by the sixth argument: %s", (form) => {
    const pieces: Pieces = [
      [0x4f80, 128],
      [0x1000, 4096],
    ];
    const list = describeBuffer(form, pieces, LISTS);
    const entry = (...values: readonly number[]) =>
      quads(values[0], 0x5555, ...Array.from({ length: 6 }, (_, i) => values[i + 1] ?? 0));
    const version = entry(17, 0);
    const own = describeBuffer(form, [[0x2000, 48]], LISTS + 64);
    const { results, again, bytes } = makeCalls(
      profile,
      scatterGather(form),
      [[MULTICALL | PHYSICAL_FLAVOUR, list.pointer, 5]],
      (write) => {
        write(LISTS, list.list);
        write(LISTS + 64, own.list);
        write(0x4f80, entry(SCHED_OP, 0));
        write(0x4fc0, version);
        write(0x1000, entry(SCHED_OP, 0));
        write(0x1040, entry(...GET_RUNSTATE, own.pointer));
        write(0x1080, entry(VCPU_OP, 4, 0, LINEAR + 0x2100));
      },
    );
    expect(results).toEqual([0]);
    expect(again.map(([number, pointer, left, , , , offset]) => [number, pointer, left, offset])).toEqual([
      [MULTICALL | PHYSICAL_FLAVOUR, list.pointer, 4, 64],
      [MULTICALL | PHYSICAL_FLAVOUR, list.pointer, 2, 192],
    ]);
    const result = (at: number) => u64(bytes(at + 8, 8));
    expect([0x4f80, 0x4fc0, 0x1000, 0x1040, 0x1080].map(result)).toEqual([0, (4 << 16) | 23, 0, 0, 0]);
    expect(u64(bytes(0x2008, 8))).toBe(u64(bytes(0x2108, 8)));
  });
});

describe("hostile descriptions", () => {
  const at = PHYSICAL + LISTS;
  const cases: readonly (readonly [string, ScatterGatherForm, number, Uint8Array])[] = [
    ["a list that is not aligned", "frames", at + 4, quads(0, 0, frame(0))],
    ["an offset beyond a page", "frames", at, quads(4096, frame(0))],
    ["a negative offset", "frames", at, quads(-1, frame(0))],
    ["a frame that is not there", "frames", at, quads(0, 0xfffff)],
    ["a frame beyond all addresses", "frames", at, quads(0, -1)],
    ["a second frame that is not there", "frames", at, quads(4090, frame(0), 0x7fffff)],
    ["a list in a hole", "frames", 0x3f000000, quads(0)],
    ["a list beyond all addresses", "frames", 2 ** 52, quads(0)],
    ["a list's end beyond memory", "tuples", PHYSICAL + 0xff8, quads(0)],
    ["an empty piece", "tuples", at, quads(PHYSICAL, 0)],
    ["a piece that is not there", "tuples", at, quads(2 ** 40, 4096)],
    ["a piece that wraps", "tuples", at, quads(-8, 4096)],
    ["more pieces than are looked at", "tuples", at, new Uint8Array(0)],
    ["a kind that nobody defined", "descriptor", at + 3, quads(0, frame(0))],
    ["a flat buffer across the end of its page", "descriptor", PHYSICAL + 4096 - 44, quads(0)],
    ["a list of pieces where frames are said", "descriptor", at + 1, quads(PHYSICAL, 48)],
  ];

  it.each(cases)("%s (%s) is -EFAULT", (name, form, pointer, list) => {
    const good = describeBuffer(form, [[0x1000, 48]], LISTS + 0x2000);
    const { results, system } = makeCalls(
      epyc9124,
      scatterGather(form),
      [
        [...GET_RUNSTATE, pointer],
        [...GET_RUNSTATE, good.pointer],
      ],
      (write, { domain }) => {
        write(LISTS, list);
        write(LISTS + 0x2000, good.list);
        if (name.startsWith("more pieces"))
          for (let i = 0; i <= MAX_TUPLES; i++) write(LISTS + 16 * i, quads(PHYSICAL, i === 0 ? 47 : 0));
        if (name.startsWith("a list's end")) domain.p2m.removeEntry(frame(0x1000));
      },
    );
    expect(results[0]).toBe(-EFAULT);
    if (!name.startsWith("a list's end")) expect(results[1]).toBe(0);
    for (const gfn of [frame(0), frame(LISTS), frame(0x2000)])
      expect(system.frameTable.references(system.domain.p2m.translate(gfn))).toBe(1);
  });

  it("of many small pieces end after as many as are looked at", () => {
    const skipping = (start: number) =>
      makeCalls(
        epyc9124,
        scatterGather("tuples"),
        [[MULTICALL | PHYSICAL_FLAVOUR, at, 1, 0, 0, 0, start]],
        (write) => {
          for (let i = 0; i < 300; i++) write(LISTS + 16 * i, quads(PHYSICAL + 0x1000, 64));
        },
      ).results[0];
    expect(skipping(64 * (MAX_TUPLES - 1))).toBe(0);
    expect(skipping(64 * MAX_TUPLES)).toBe(-EFAULT);
  });

  const word = fc.oneof(
    fc.constantFrom(
      0,
      1,
      2,
      3,
      17,
      4095,
      4096,
      frame(0),
      frame(0x1000),
      PHYSICAL,
      PHYSICAL + 8,
      at,
      -1,
      2 ** 52,
    ),
    fc.integer({ min: 0, max: 2 ** 31 }),
  );
  const pointer = fc.oneof(
    fc.integer({ min: 0, max: 64 }).map((n) => at + n),
    fc.constantFrom(0, 1, at + 4095, PHYSICAL, 2 ** 47, 0x7f000000 * 2 ** 20),
  );
  const call = fc.oneof(
    fc.tuple(fc.constant(VCPU_OP), fc.constantFrom(4, 8, 14, 10), fc.constant(0), pointer),
    fc.tuple(fc.constant(SCHED_OP), fc.constantFrom(3, 6), pointer, fc.constant(0)),
    fc.tuple(fc.constant(MEMORY_OP), fc.constantFrom(6, 7, 9, 15), pointer, fc.constant(0)),
    fc.tuple(fc.constant(MULTICALL), pointer, fc.integer({ min: 0, max: 4 }), fc.constant(0)),
    fc.tuple(fc.constant(17), fc.integer({ min: 0, max: 14 }), pointer, fc.constant(0)),
    fc.tuple(fc.constant(20), fc.constantFrom(0, 1, 2, 5, 6, 8), pointer, fc.integer({ min: 0, max: 3 })),
    fc.tuple(fc.constant(32), fc.integer({ min: 0, max: 13 }), pointer, fc.constant(0)),
  );

  it.each(SCATTER_GATHER_FORMS)("at random leave references and ledger in order: %s", (form) => {
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 24, maxLength: 24 }),
        fc.array(call, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: 5000 }),
        (list, calls, start) => {
          const made = makeCalls(
            epyc9124,
            scatterGather(form),
            calls.map(
              ([number, ...args]): Call => [
                number | PHYSICAL_FLAVOUR,
                ...args,
                0,
                0,
                start % 3 === 0 ? start : 0,
              ],
            ),
            (write) => write(LISTS, quads(...list)),
          );
          const { ledger, frameTable, domain } = made.system;
          expect(ledger.phaseDepth).toBe(0);
          expect(ledger.rows().reduce((sum, row) => sum + row.ticks, 0)).toBe(ledger.clock[0]);
          expect(frameTable.references(domain.p2m.translate(frame(LISTS)))).toBe(1);
        },
      ),
      { numRuns: 25 },
    );
  });
});

it.each(["frames", "tuples"] as const)("32-bit guests have lists of 32-bit words: %s", (form) => {
  const [list, output] = [0x30000, 0x38000];
  const split = 0x34ff0;
  const words = form === "frames" ? [0xff0, split >>> 12, output >>> 12] : [split, 16, output, 4096];
  // get_runstate_info: 40 bytes for a 32-bit guest
  const body = [
    ...[
      0xb8,
      ...le(VCPU_OP | PHYSICAL_FLAVOUR),
      0xbb,
      ...le(4),
      0xb9,
      ...le(0),
      0xba,
      ...le(list),
      0xbd,
      ...le(0),
    ],
    ...[0x0f, 0x01, 0xd9, 0xa3, ...le(0x28000)],
    ...END,
  ];
  const system = flatGuest(epyc9124, body, {}, { domain: { abi: scatterGather(form) } });
  const { guestMemory } = system.domain;
  words.forEach((value, i) => {
    guestMemory.writeU32(list + 4 * i, value);
  });
  guestMemory.writeU32(split, 77);
  guestMemory.writeU32(0x28000, 77);
  expect(system.run({ maxInstructions: 1e5 }).reason).toBe("halted");
  expect(guestMemory.readU32(0x28000)).toBe(0);
  expect(guestMemory.readU32(split)).toBe(0); // running
  // state 4, entry time 8, then time[0] begins at 12: its upper half is in the other page
  expect(guestMemory.readU32(split + 12)).toBeGreaterThan(0);
  expect(guestMemory.readU32(output)).toBe(0);
});
