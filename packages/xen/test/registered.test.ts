import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { REGISTER_BUFFER, registered } from "../src/abi/registered.ts";
import { Errno } from "../src/errno.ts";
import { MAX_REGISTERED, RegisteredBuffers } from "../src/guest-access/registered.ts";
import { createXenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";
import { END, flatGuest, le } from "./flat-guest.ts";
import { type Call, LINEAR, makeCalls, PHYSICAL, quads } from "./scripted-calls.ts";

vi.setConfig({ testTimeout: 60_000 });

const VCPU_OP = 24;
const MULTICALL = 13;
const { EFAULT, EEXIST, EINVAL, ENOENT, ENOSPC, ENOSYS } = Errno;
const register = (linear: number, physical: number, size: number): Call => [
  REGISTER_BUFFER,
  0,
  linear,
  physical,
  size,
];
const unregister = (linear: number): Call => [REGISTER_BUFFER, 1, linear];
const CLEAR: Call = [REGISTER_BUFFER, 2];
const getRunstate = (at: number): Call => [VCPU_OP, 4, 0, at];

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("registered buffers under %s", (_, profile) => {
  it("are looked up instead of walked, and walked again once they are not registered any more", () => {
    const { results, counts } = makeCalls(profile, registered(), [
      getRunstate(LINEAR),
      register(LINEAR, PHYSICAL, 0x2000),
      getRunstate(LINEAR),
      getRunstate(LINEAR + 0x1fd0),
      getRunstate(LINEAR + 0xff0), // two pages of the same buffer
      getRunstate(LINEAR + 0x1ff0), // its end, and what no buffer has
      getRunstate(LINEAR + 0x3000),
      unregister(LINEAR),
      getRunstate(LINEAR),
      register(LINEAR, PHYSICAL, 0x1000),
      CLEAR,
      getRunstate(LINEAR),
    ]);
    expect(results).toEqual(Array.from({ length: 12 }, () => 0));
    const walked = { p2mLookups: 6, guestPteReads: 4 };
    const found = { p2mLookups: 1, guestPteReads: 0 };
    expect([0, 2, 3, 4, 5, 6, 8, 11].map((i) => counts[i])).toEqual([
      walked,
      found,
      found,
      { p2mLookups: 2, guestPteReads: 0 },
      { p2mLookups: 7, guestPteReads: 4 },
      walked,
      walked,
      walked,
    ]);
  });

  it("are believed: the tables that the guest has are not asked", () => {
    const other = 0x7fff_0000_0000; // mapped by nothing
    const { results, bytes } = makeCalls(profile, registered(), [
      getRunstate(other),
      register(other, PHYSICAL + 0x4000, 4096),
      getRunstate(other + 256),
      register(LINEAR, PHYSICAL + 0x5000, 4096), // not where the tables say
      getRunstate(LINEAR),
      register(LINEAR + 0x1000, 0x3f000000, 4096), // no RAM
      getRunstate(LINEAR + 0x1000),
    ]);
    expect(results).toEqual([-EFAULT, 0, 0, 0, 0, 0, -EFAULT]);
    const time = (at: number) => new DataView(bytes(at + 8, 8).buffer).getUint32(0, true);
    expect([time(0x4108) > 0, bytes(0, 48).every((byte) => byte === 0)]).toEqual([true, true]);
    expect(bytes(0x5010, 8).some((byte) => byte !== 0)).toBe(true);
  });

  it("are refused with an errno of their own", () => {
    const full = Array.from({ length: MAX_REGISTERED }, (_, i) =>
      register(LINEAR + 0x1000 * i, PHYSICAL, 4096),
    );
    const calls: readonly (readonly [Call, number])[] = [
      [register(LINEAR, PHYSICAL, 0), -EINVAL],
      [register(LINEAR + 1, PHYSICAL, 64), -EINVAL], // another place in its page
      [register(2 ** 47, PHYSICAL, 4096), -EINVAL], // not canonical
      [register(2 ** 47 - 4096, PHYSICAL, 8192), -EINVAL],
      [register(LINEAR, 2 ** 52, 4096), -EINVAL],
      [register(LINEAR, PHYSICAL, 2 ** 52), -EINVAL],
      [unregister(LINEAR), -ENOENT],
      [register(LINEAR + 0x800, PHYSICAL + 0x800, 0x1000), 0],
      [register(LINEAR, PHYSICAL, 0x801), -EEXIST],
      [register(LINEAR + 0x1000, PHYSICAL, 4096), -EEXIST],
      [register(LINEAR, PHYSICAL, 0x800), 0],
      [unregister(LINEAR + 1), -ENOENT],
      [CLEAR, 0],
      ...full.map((call) => [call, 0] as const),
      [register(LINEAR + 0x20000, PHYSICAL, 4096), -ENOSPC],
      [unregister(LINEAR + 0x3000), 0],
      [register(LINEAR + 0x20000, PHYSICAL, 4096), 0],
      [[REGISTER_BUFFER, 3], -ENOSYS],
      [getRunstate(LINEAR + 0xf000), 0],
    ];
    const { results } = makeCalls(
      profile,
      registered(),
      calls.map(([call]) => call),
    );
    expect(results).toEqual(calls.map(([, wanted]) => wanted));
  });

  it("can be the upper half's, and the whole of it at once", () => {
    const buffers = new RegisteredBuffers();
    expect(buffers.register(0, 0xffff8880 | 0, 0, 2 ** 39)).toBe(0);
    expect(buffers.find(0x12345678, 0xffff8880 | 0)).toBe(0);
    expect(buffers.physical).toBe(0x12345678);
    expect(buffers.find(0, 0xffff8900 | 0)).toBe(-1);
    expect(buffers.find(0, 0x8880)).toBe(-1);
    expect(buffers.register(0xfffff000 | 0, -1, 0, 4096)).toBe(0);
    expect(buffers.register(0xfffff000 | 0, -1, 0, 8192)).toBe(-EINVAL);
  });

  it("serve a multicall's list and its entries, and can be registered by one", () => {
    const entry = (...values: readonly number[]) =>
      quads(values[0], 0x5555, ...Array.from({ length: 6 }, (_, i) => values[i + 1] ?? 0));
    const { results, bytes } = makeCalls(profile, registered(), [[MULTICALL, LINEAR, 3]], (write) => {
      write(0, entry(...register(LINEAR, PHYSICAL, 0x10000)));
      write(64, entry(...getRunstate(LINEAR + 0x1000)));
      write(128, entry(...unregister(LINEAR + 0x1000)));
    });
    const result = (i: number) => new DataView(bytes(64 * i + 8, 8).buffer).getInt32(0, true);
    expect([results[0], result(0), result(1), result(2)]).toEqual([0, 0, 0, -ENOENT]);
  });

  it("are nobody's in a domain without them", () => {
    const { results } = makeCalls(profile, "linear", [register(LINEAR, PHYSICAL, 4096)]);
    expect(results).toEqual([-ENOSYS]);
  });
});

describe("a snapshot", () => {
  const calls = [register(LINEAR + 8, PHYSICAL + 8, 4096 * 3), register(2 ** 46, 0, 2 ** 40)];
  const fresh = () =>
    createXenSystem({
      profile: epyc9124,
      domain: {
        image: elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] }),
        memoryBytes: 64 * 2 ** 20,
        abi: registered(),
      },
    });

  it("has what is registered", () => {
    const interfaces = makeCalls(epyc9124, registered(), calls).system.vcpus[0].hypercalls.snapshot();
    const system = fresh();
    system.vcpus[0].hypercalls.restore(interfaces);
    expect(system.vcpus[0].hypercalls.snapshot()).toEqual(interfaces);
    const [{ entries }] = interfaces as unknown as readonly [{ entries: Float64Array }];
    expect([...entries.subarray(0, 8)]).toEqual([
      LINEAR + 8,
      0,
      PHYSICAL + 8,
      4096 * 3,
      0,
      2 ** 14,
      0,
      2 ** 40,
    ]);
  });

  it.each([
    ["a size of nothing in the middle", 3, -1],
    ["an address that is no number", 0, Number.NaN],
    ["an address beyond its word", 0, 2 ** 32],
    ["a page of another place", 2, 12],
  ])("with %s is refused", (_, at, value) => {
    const entries = new Float64Array(4 * MAX_REGISTERED);
    entries.set([LINEAR, 0, PHYSICAL, 4096]);
    entries[at] = value;
    const buffers = new RegisteredBuffers();
    expect(() => buffers.restore({ entries })).toThrow(RangeError);
  });

  it("with a wrong length or of another interface is refused as a whole", () => {
    const system = fresh();
    const snapshot = system.snapshot();
    const broken = structuredClone(snapshot) as unknown as {
      vcpus: { interfaces: { entries: Float64Array }[] }[];
    };
    broken.vcpus[0].interfaces[0].entries = new Float64Array(3);
    expect(() => fresh().restore(broken)).toThrow(/entries/);
    const corrupt = structuredClone(snapshot) as unknown as typeof broken;
    corrupt.vcpus[0].interfaces[0].entries[3] = 5000;
    corrupt.vcpus[0].interfaces[0].entries[2] = 1;
    expect(() => fresh().restore(corrupt)).toThrow(/registered buffer 0/);
  });
});

it("random registrations never overlap, and look-ups agree with a list of ranges", () => {
  const page = fc.integer({ min: 0, max: 20 });
  const step = fc.record({
    register: fc.boolean(),
    at: page,
    offset: fc.integer({ min: 0, max: 2 }),
    size: fc.integer({ min: 0, max: 9000 }),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 24 * 4096 })),
      (steps, asks) => {
        const buffers = new RegisteredBuffers();
        let ranges: (readonly [number, number])[] = [];
        for (const { register, at, offset, size } of steps) {
          const start = 4096 * at + 100 * offset;
          if (register) {
            const overlaps = ranges.some(([first, bytes]) => start < first + bytes && first < start + size);
            const wanted =
              size === 0 ? -EINVAL : overlaps ? -EEXIST : ranges.length === MAX_REGISTERED ? -ENOSPC : 0;
            expect(buffers.register(start, 5, 2 ** 33 + start, size)).toBe(wanted);
            if (wanted === 0) ranges.push([start, size]);
          } else {
            const known = ranges.some(([first]) => first === start);
            expect(buffers.unregister(start, 5)).toBe(known ? 0 : -ENOENT);
            ranges = ranges.filter(([first]) => first !== start);
          }
        }
        for (const ask of asks) {
          const inside = ranges.findIndex(([first, bytes]) => ask >= first && ask < first + bytes);
          expect(buffers.find(ask, 5)).toBe(inside);
          if (inside >= 0) expect(buffers.physical).toBe(2 ** 33 + ask);
        }
      },
    ),
    { numRuns: 100 },
  );
});

it("32-bit guests register theirs, too", () => {
  const body = [
    ...[
      0xb8,
      ...le(REGISTER_BUFFER),
      0xbb,
      ...le(0),
      0xb9,
      ...le(0x70000000),
      0xba,
      ...le(0x30000),
      0xbe,
      ...le(4096),
    ],
    ...[0x0f, 0x01, 0xd9, 0xa3, ...le(0x28000)],
    ...[0xb8, ...le(VCPU_OP), 0xbb, ...le(4), 0xb9, ...le(0), 0xba, ...le(0x70000000)],
    ...[0x0f, 0x01, 0xd9, 0xa3, ...le(0x28004)],
    ...END,
  ];
  const system = flatGuest(epyc9124, body, {}, { domain: { abi: registered() } });
  const { guestMemory } = system.domain;
  guestMemory.writeU32(0x28004, 77);
  expect(system.run({ maxInstructions: 1e5 }).reason).toBe("halted");
  expect([guestMemory.readU32(0x28000), guestMemory.readU32(0x28004)]).toEqual([0, 0]);
  expect(guestMemory.readU32(0x30000 + 12)).toBeGreaterThan(0);
});
