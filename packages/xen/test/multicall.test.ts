import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Continuation } from "../src/continuation.ts";
import { Errno } from "../src/errno.ts";
import { multicall } from "../src/operations/multicall.ts";
import type { OperationCall } from "../src/operations/operation.ts";
import type { XenSystem } from "../src/xen.ts";
import type { HypercallAbiName } from "../src/xen-config.ts";
import { END, flatGuest, IRET, le, print, STI, VECTOR } from "./flat-guest.ts";
import { longModeGuest } from "./long-mode-guest.ts";
import type { GuestScript } from "./scripted-processor.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

vi.setConfig({ testTimeout: 60_000 });

const LIST = 0x300000;
const BUFFER = 0x310000;
const LAST = 0x3ff000; // last page that is mapped
const MULTICALL = 13;
const VERSION = 17;
const VCPU_OP = 24;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const XEN_VERSION = (4 << 16) | 23;

type Entry = readonly (number | bigint)[]; // number, then arguments

function machine(profile: ProcessorProfile, abi: HypercallAbiName, script: GuestScript) {
  return longModeGuest(profile, { abi }, script);
}

function writeList({ domain }: XenSystem, at: number, entries: readonly Entry[]): void {
  entries.forEach(([number, ...args], i) => {
    const bytes = new DataView(new ArrayBuffer(64));
    bytes.setBigUint64(0, BigInt.asUintN(64, BigInt(number)), true);
    bytes.setBigUint64(8, 0x5555n, true);
    args.forEach((value, n) => {
      bytes.setBigUint64(16 + 8 * n, BigInt.asUintN(64, BigInt(value)), true);
    });
    domain.guestMemory.writeBytes(at + 64 * i, new Uint8Array(bytes.buffer));
  });
}

const resultAt = ({ domain }: XenSystem, at: number) =>
  Number(new DataView(domain.guestMemory.readBytes(at + 8, 8).buffer).getBigInt64(0, true));

/** Makes a multicall of these entries until it has come to its end. */
function run(
  profile: ProcessorProfile,
  abi: HypercallAbiName,
  entries: readonly Entry[],
  at = LIST,
  count = entries.length,
) {
  const seen: number[][] = [];
  const { system, cpu } = machine(profile, abi, (guest, step) => {
    const { words } = guest;
    if (step === 0) {
      guest.enterLongMode(guest.cr3);
      guest.set(7, at);
      guest.set(6, count);
      return guest.hypercall(MULTICALL);
    }
    // Where RIP has not moved, the guest executes the same instruction with what is in its registers.
    seen.push([words[0], words[1], words[14], words[12]]);
    const again = words[0] === MULTICALL && words[1] === 0;
    return again ? guest.hypercall(MULTICALL) : undefined;
  });
  writeList(system, at, entries);
  const before = system.counters();
  system.run({ maxInstructions: 20 });
  const after = system.counters();
  const results = entries.map((_, i) => resultAt(system, at + 64 * i));
  return {
    system,
    cpu,
    results,
    seen,
    result: cpu.words[0],
    bytes: after.bytesCopied - before.bytesCopied,
    hypercalls: after.hypercalls - before.hypercalls,
  };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("multicalls under %s", (_, profile) => {
  it.each(["linear", "physaddr", "fastabi"] as const)(
    "make each call as its own hypercall would, %s",
    (abi) => {
      const { result, results, system, bytes, hypercalls } = run(profile, abi, [
        [VERSION, 0],
        [VCPU_OP, 3, 0],
        [60],
        [MULTICALL, LIST, 1],
        [VERSION + 2 ** 31],
        [BigInt(VERSION) + 2n ** 40n],
        [VERSION | 0x40000000, 0],
        [VCPU_OP, 3, 99],
        [EVENT_CHANNEL_OP, 4, 0x7f000000],
        [VCPU_OP, 4, 0, BUFFER],
        [VERSION, 0],
      ]);
      const nosys = -Errno.ENOSYS;
      expect(result).toBe(0);
      expect(results).toEqual([
        XEN_VERSION,
        1,
        nosys,
        -Errno.EINVAL, // do_multicall: no lists within lists
        nosys,
        nosys,
        nosys, // FastABI's registers are not there
        -Errno.ENOENT,
        -Errno.EFAULT,
        0,
        XEN_VERSION,
      ]);
      expect(system.domain.guestMemory.readU32(BUFFER)).toBe(0); // running
      expect([bytes, hypercalls]).toEqual([11 * (64 + 8) + 48, 1]);
    },
  );

  it("keep the results before a fault", () => {
    const entries: Entry[] = [
      [VERSION, 0],
      [VERSION, 0],
    ];
    const at = LAST + 4096 - 128;
    const { result, results, system } = run(profile, "linear", entries, at, 3);
    expect([result, results]).toEqual([-Errno.EFAULT, [XEN_VERSION, XEN_VERSION]]);
    expect(run(profile, "linear", [], 0x7f000000, 1).result).toBe(-Errno.EFAULT);
    expect(run(profile, "linear", [], 0x7f000000, 0).result).toBe(0);
    // and the flag against nesting is down again
    expect(system.vcpu.call.inMulticall).toBe(false);
  });

  it("make room for the scheduler, and go on with the rest", () => {
    const version: Entry = [VERSION, 0];
    const { result, results, seen, hypercalls } = run(profile, "linear", [
      version,
      [SCHED_OP, 0, 0],
      version,
      version,
    ]);
    expect(seen).toEqual([
      [MULTICALL, 0, LIST + 128, 2],
      [0, 0, LIST + 128, 2],
    ]);
    expect([result, results, hypercalls]).toEqual([0, [XEN_VERSION, 0, XEN_VERSION, XEN_VERSION], 2]);
  });

  it("in a 32-bit guest are interrupted between two entries, and lose none", () => {
    const list = 0x30000;
    const count = 200;
    const hits = 0x28000;
    const shared = 0x20000;
    const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
    const call = (n: number, b: number, c: number) => [
      0xb8,
      ...le(n),
      0xbb,
      ...le(b),
      0xb9,
      ...le(c),
      ...instruction,
    ];
    const put = (at: number, value: number) => [0xc7, 0x05, ...le(at), ...le(value)];
    const tick = [
      0xff,
      0x05,
      ...le(hits),
      ...put(shared, 0),
      ...put(shared + 4, 0),
      ...put(shared + 2048, 0),
      IRET,
    ];
    const body = [
      STI,
      ...call(15, 60_000, 0),
      ...call(MULTICALL, list, count),
      0xa3,
      ...le(hits + 4),
      ...print("."),
      ...END,
    ];
    const system = flatGuest(profile, body, { [VECTOR]: tick }, { domain: { p2mPage: "4k" } });
    const { domain } = system;
    domain.mapSharedInfo(shared / 4096);
    domain.latchLayout(true);
    domain.eventChannels.setCallback(VECTOR, 2 << 24);
    domain.eventChannels.bindVirq(0, 0);
    const { guestMemory } = domain;
    guestMemory.writeU32(hits + 4, 77);
    for (let i = 0; i < count; i++) guestMemory.writeU32(list + 32 * i, VERSION);
    expect(system.run({ maxInstructions: 1e6 }).reason).toBe("halted");
    expect(system.console).toBe(".\n");
    expect([guestMemory.readU32(hits), guestMemory.readU32(hits + 4)]).toEqual([1, 0]);
    for (let i = 0; i < count; i++) expect(guestMemory.readU32(list + 32 * i + 4), `${i}`).toBe(XEN_VERSION);
    expect(system.counters().hypercalls).toBe(3); // set_timer_op and two for the list
  });
});

describe("an entry whose call goes on later", () => {
  const bench = (copies: (nth: number) => number, compat = false) => {
    const guest = new Uint8Array(4096);
    const buffer = new DataView(new ArrayBuffer(4096));
    const bytes = new Uint8Array(buffer.buffer);
    let nth = 0;
    const continuation = new Continuation();
    const { memory } = xenMemory();
    const call = {
      inputs: Int32Array.of(0x100, 0, 3, 0),
      outputs: new Int32Array(4),
      compat,
      inMulticall: false,
      continuation,
      cost: new RecordingCost(memory),
      vcpu: { nowNs: 0, runner: { preempts: false } },
      access: {
        id: "linear",
        buffer,
        copyFromGuest: (lo: number, _hi: number, count: number) => {
          bytes.set(guest.subarray(lo, lo + count));
          return 0;
        },
        copyToGuest: (lo: number, _hi: number, count: number) => {
          const error = copies(nth++);
          if (error === 0) guest.set(bytes.subarray(0, count), lo);
          return error;
        },
      },
      constituents: {
        invoke: ({ numberLo }: { numberLo: number }) => {
          if (numberLo !== 12) return 5;
          continuation.create(12);
          continuation.add(7, 0);
          continuation.add(8, 9);
          return 12;
        },
      },
    } as unknown as OperationCall;
    const view = new DataView(guest.buffer);
    const value = compat ? 4 : 8;
    view.setUint32(0x100, 1, true);
    view.setUint32(0x100 + 8 * value, 12, true);
    view.setUint32(0x100 + 12 * value, 0x77, true); // its third argument
    const result = multicall.handle(call);
    const words = Array.from({ length: 5 }, (_, i) => view.getUint32(0x100 + (8 + i) * value, true));
    return { result, words, continuation };
  };

  it.each([false, true])(
    "has its new arguments written back, and the list goes on with it (32-bit: %s)",
    (compat) => {
      const { result, words, continuation } = bench(() => 0, compat);
      expect(result).toBe(0);
      expect(words).toEqual([12, 12, 7, 8, 0x77]);
      const { pending, number, count, lo, hi } = continuation;
      expect([pending, number, count]).toEqual([true, MULTICALL, 2]);
      expect([lo[0], hi[0], lo[1]]).toEqual([0x100 + (compat ? 32 : 64), 0, 2]);
    },
  );

  it("is given up when it cannot be written back", () => {
    const { result, words, continuation } = bench((nth) => (nth === 2 ? -Errno.EFAULT : 0));
    expect([result, continuation.pending]).toEqual([-Errno.EFAULT, false]);
    expect(words).toEqual([12, 12, 0, 0, 0x77]);
  });
});
