import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { epyc7763, epyc9124, type ProcessorProfile, sapphireRapids, skylakeSp } from "@hyperwalk/cpu";
import { defineGuest, hypercallBenchImage, runstateLoop } from "@hyperwalk/guest-sdk";
import {
  createXenSystem,
  encodeSnapshot,
  type PlainData,
  type XenConfig,
  type XenSystem,
} from "@hyperwalk/xen";
import {
  CLI,
  CODE,
  ENABLE,
  END,
  EOI,
  flatGuest,
  HLT,
  IRET,
  le,
  STI,
  store,
  VECTOR,
} from "../../packages/xen/test/flat-guest.js";
import { ABIS, type AbiName } from "../guests/boot.js";

/** A guest of the suite: every call of `make` gives the same system. */
export interface SuiteGuest {
  readonly name: string;
  make(): XenSystem;
}

const file = (path: string) => readFileSync(new URL(path, import.meta.url));

function booting(
  name: string,
  profile: ProcessorProfile,
  abi: AbiName,
  image: () => Uint8Array,
  cmdline = "",
  xen: XenConfig = {},
): SuiteGuest {
  return {
    name: `${name} ${cmdline} (${profile.id}, ${abi})`,
    make: () =>
      createXenSystem({
        profile,
        xen,
        domain: { image: image(), memoryBytes: 64 * 2 ** 20, cmdline, abi },
        accounting: true,
      }),
  };
}

const talkative = defineGuest("talkative", (g) => {
  const n = g.variable(1000);
  g.repeat(30, () => {
    g.printDecimal(n);
    g.print("0123456789abcdef".repeat(16));
    g.add(n, 1);
  });
  g.print("\n");
});

/** Takes its time: an NMI that comes meanwhile waits for its IRET. */
const NMI = [0x51, 0xb9, ...le(20), 0x49, 0x75, 0xfd, ...store(0x300, 0x40030), 0x59, IRET];

/** A guest in flat 32-bit protected mode with a handler for its interrupts. */
function bare(
  name: string,
  profile: ProcessorProfile,
  body: readonly number[],
  handler: readonly number[],
): SuiteGuest {
  return {
    name: `${name} (${profile.id})`,
    make: () => flatGuest(profile, [...body, ...END], { 2: NMI, [VECTOR]: handler }, { accounting: true }),
  };
}

/** Image that a multiboot loader puts to 1 MiB. */
function multiboot(code: readonly number[]): Uint8Array {
  const flags = 0x10000;
  const words = [0x1badb002, flags, -(0x1badb002 + flags), CODE, CODE, 0, 0, CODE + 32];
  return Uint8Array.from([...words.flatMap((word) => le(word)), ...code]);
}

/** mov dx, port; then mov al, value; out dx, al */
const out = (port: number, value: number) => [0x66, 0xba, ...le(port, 2), 0xb0, value, 0xee];
/** mov dx, port; in al, dx; and the same to the serial line */
const echo = (port: number) => [0x66, 0xba, ...le(port, 2), 0xec, 0x66, 0xba, ...le(0x3f8, 2), 0xee];

/** Sends itself bytes through the loop of the serial line, reads the firmware's items, keeps a byte in the test device. */
const devices = [
  ...[0x66, 0xba, ...le(0x510, 2), 0x66, 0xb8, 5, 0, 0x66, 0xef], // out 510h, ax
  ...out(0xe1, 0x2b),
  ...out(0x3fb, 0x80),
  ...out(0x3f8, 1),
  ...out(0x3fb, 3),
  ...echo(0x511),
  ...echo(0x511),
  ...out(0x3fc, 0x10),
  ...out(0x3f8, 0x21),
  ...[0x66, 0xba, ...le(0x3f8, 2), 0xec, 0x88, 0xc3], // in al, 3f8h; mov bl, al
  ...out(0x3fc, 0),
  ...[0x66, 0xba, ...le(0x3f8, 2), 0x88, 0xd8, 0xee], // mov al, bl; out 3f8h, al
  ...echo(0xe1),
  ...out(0xf4, 3),
];

const count = [0xff, 0x05, ...le(0x5000), ...EOI, IRET]; // inc dword [5000h]
const until = (ticks: number) => [0x83, 0x3d, ...le(0x5000), ticks]; // cmp dword [5000h], ticks

const VENDORS = [epyc9124, skylakeSp] as const;

/** Every guest that the suite boots, on both vendors' machines. */
export const SUITE: readonly SuiteGuest[] = [
  ...VENDORS.flatMap((profile) => [
    ...ABIS.flatMap((abi) => [
      booting("hypercall-bench", profile, abi, hypercallBenchImage, "iterations=200 leaf=4k"),
      booting("runstate-loop", profile, abi, () =>
        runstateLoop.build({ abi, vendor: profile.vendor, leaf: "2m", iterations: 200 }),
      ),
      booting("talkative", profile, abi, () => talkative.build({ abi, vendor: profile.vendor })),
    ]),
    ...["evtchn_send", "get_time"].map((op) =>
      booting("hypercall-bench", profile, "linear", hypercallBenchImage, `iterations=100 op=${op}`),
    ),
    ...[
      ["integer", 20_000],
      ["memory", 40],
      ["calls", 400],
    ].map(([loop, iterations]) =>
      booting(
        "loops",
        profile,
        "linear",
        () => file("../../bench/guests/loops.elf"),
        `loop=${loop} iterations=${iterations} leaf=2m`,
      ),
    ),
    ...["unpaged", "pse", "pae"].map((paging) =>
      booting(`self-check-${paging}`, profile, "linear", () => file(`../guests/self-check-${paging}.elf`)),
    ),
    booting("devices", profile, "linear", () => multiboot(devices)),
    booting("wide", profile, "linear", () => file("../../bench/guests/wide.elf"), "iterations=2"),
    bare(
      "NMIs to itself",
      profile,
      [...ENABLE, 0xb9, ...le(300)].concat([...store(0x300, 0x40402), 0x49, 0x75, 0xf3]),
      count,
    ),
    bare(
      "timer wakes HLT",
      profile,
      [
        ...ENABLE,
        ...store(0x320, 0x20000 | VECTOR),
        ...store(0x3e0, 0xb),
        ...store(0x380, 20000),
        STI,
      ].concat(
        [HLT, ...until(5), 0x72, 0xf6], // jb to HLT
      ),
      count,
    ),
    bare(
      "periodic timer",
      profile,
      [
        ...ENABLE,
        ...store(0x320, 0x20000 | VECTOR),
        ...store(0x3e0, 0xb),
        ...store(0x380, 12000),
        STI,
      ].concat(
        [...until(3), 0x72, 0xf7], // jb to the comparison
      ),
      count,
    ),
    bare(
      "interrupts that wait",
      profile,
      [
        ...ENABLE,
        0xb9,
        ...le(2000),
        ...store(0x300, 0x40000 | VECTOR),
        0x40,
        STI,
        0x40,
        CLI,
        0x49,
        0x75,
        0xf0,
      ],
      count,
    ),
  ]),
  booting("hypercall-bench", epyc7763, "linear", hypercallBenchImage, "iterations=200 buffer=straddle", {
    ibpbEntry: true,
  }),
  booting("hypercall-bench", sapphireRapids, "linear", hypercallBenchImage, "iterations=200 buffer=bad", {
    ibpbEntry: true,
    l1dFlush: true,
  }),
];

/** Instructions after which a guest that has not ended is stopped. */
const MAX_INSTRUCTIONS = 3_000_000;

/** Runs a system to its end. @returns everything that a run reports, and its whole state as a digest, as JSON */
export function finish(system: XenSystem): string {
  const left = MAX_INSTRUCTIONS - system.counters().guestInstructions;
  const outcome = system.run({ maxInstructions: left });
  return JSON.stringify({
    outcome,
    console: system.console,
    counters: system.counters(),
    cycles: system.cycles,
    ledger: system.ledger.rows(),
    window: system.window,
    exits: system.exitAccounts(),
    hypercalls: system.hypercallAccounts(),
    estimates: system.estimates(),
    mmu: [...system.processor.mmu.counters],
    mispredicts: system.processor.predictor.mispredicts,
    runstate: system.vcpu.runstate.snapshot(),
    state: digest(system),
  });
}

/**
 * The whole state but for two parts, which the report above has what they come to of. Lines and translations are numbered
 * by accesses, of which a stop adds one. What an RDTSC saw of the guest's instructions depends on the latest stop, too.
 */
function digest(system: XenSystem): string {
  const { window: _window, vcpus, ...rest } = system.snapshot();
  const others = vcpus.map(({ processor: { mmu: _mmu, ...processor }, ...vcpu }) => ({ ...vcpu, processor }));
  const state = { ...rest, vcpus: others } as unknown as PlainData;
  return createHash("sha256").update(encodeSnapshot(state)).digest("hex");
}
