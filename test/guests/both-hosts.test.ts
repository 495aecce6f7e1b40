import { readFileSync } from "node:fs";
import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import {
  defineGuest,
  hypercallBenchImage,
  LOOPED_OPERATIONS,
  notifyLoop,
  operationLoop,
  runstateLoop,
  spinForever,
} from "@hyperwalk/guest-sdk";
import { createKvmSystem, createXenSystem, type DomainConfig, type KvmConfig } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url));

interface Case {
  readonly name: string;
  readonly image: (profile: ProcessorProfile) => Uint8Array;
  readonly cmdline?: string;
  readonly domain?: Partial<DomainConfig>;
}

/** What both hosts show of a guest's run, but for what it measured. */
function ends({ image, cmdline = "", domain = {} }: Case, profile: ProcessorProfile, kvm?: KvmConfig) {
  const options = {
    profile,
    domain: { image: image(profile), memoryBytes: 64 * 2 ** 20, abi: "linear" as const, cmdline, ...domain },
  };
  const system = kvm === undefined ? createXenSystem(options) : createKvmSystem({ ...options, kvm });
  const { reason, shutdown } = system.run({ maxInstructions: 700_000 });
  return {
    reason,
    shutdown,
    console: system.console.replaceAll(/(cycles|per-call|first)=[\d.]+/g, "$1=n"),
  };
}

const built = (guest: { build(options: object): Uint8Array }) => (profile: ProcessorProfile) =>
  guest.build({ abi: "linear", vendor: profile.vendor, iterations: 20 });

const CASES: readonly Case[] = [
  ...["get_runstate_info", "evtchn_send", "get_time", "version"].map((op) => ({
    name: `hypercall-bench op=${op}`,
    image: () => hypercallBenchImage(),
    cmdline: `iterations=20 op=${op}`,
  })),
  ...["buffer=bad", "buffer=straddle", "probe=wrong-vendor", "leaf=2m"].map((option) => ({
    name: `hypercall-bench ${option}`,
    image: () => hypercallBenchImage(),
    cmdline: `iterations=20 ${option}`,
  })),
  ...["integer", "calls"].map((loop) => ({
    name: `loops loop=${loop}`,
    image: () => file("bench/guests/loops.elf"),
    cmdline: `loop=${loop} iterations=2 leaf=2m`,
  })),
  { name: "wide", image: () => file("bench/guests/wide.elf"), cmdline: "steps=3" },
  ...["unpaged", "pse", "pae"].map((paging) => ({
    name: `self-check-${paging}`,
    image: () => file(`test/guests/self-check-${paging}.elf`),
  })),
  // It finds that there is no FastABI, as in a linear domain of Xen's.
  { name: "fastabi-check", image: () => file("test/guests/fastabi-check.elf") },
  { name: "runstate-loop", image: built(runstateLoop) },
  { name: "spin-forever", image: built(spinForever) },
  {
    name: "notify-loop",
    image: built(notifyLoop({ transport: "pio" })),
    domain: { doorbell: { handler: "hypervisor" } },
  },
  {
    name: "two vCPUs of one's own",
    image: built(
      defineGuest("found", (g) => {
        for (const vcpuid of [0, 1, 2]) {
          const up = g.hypercall.vcpu.isUp({ vcpuid }).result();
          g.when(up, "e", 1, () => g.print("up "));
          g.when(up, "e", 0, () => g.print("down "));
          g.when(up, "e", -2, () => g.print("none\n"));
          up.release();
        }
      }),
    ),
    domain: { vcpus: 2 },
  },
];

function check(guest: Case, profile: ProcessorProfile): void {
  const [xen, kvm] = [ends(guest, profile), ends(guest, profile, {})];
  expect(kvm).toEqual(xen);
  expect(xen.console).not.toBe("");
}

describe("the same guests under both hosts", () => {
  it.each(CASES)("$name does the same under KVM as under Xen", (guest) => check(guest, epyc9124));

  // What does not depend on the vendor is left out.
  it.each(CASES.filter(({ name }) => !/ op=| buffer=|^loops|^wide|^spin/.test(name)))(
    "$name, on Intel's",
    (guest) => check(guest, skylakeSp),
  );
});

describe("operation loops under both hosts", () => {
  // Of each hypercall one; all operations are in the matrix.
  const ops = LOOPED_OPERATIONS.filter(
    (operation, i) =>
      operation.split(".")[0] !== LOOPED_OPERATIONS[i - 1]?.split(".")[0] &&
      operation !== "event_channel.expand_array",
  );
  const one = (operation: (typeof ops)[number]): Case => ({
    name: operation,
    image: ({ vendor }) =>
      operationLoop(operation, { warmUp: 1 }).build({ abi: "linear", vendor, iterations: 2 }),
  });

  it("end alike, whatever they call", () => {
    for (const operation of ops) {
      const [xen, kvm] = [ends(one(operation), epyc9124), ends(one(operation), epyc9124, {})];
      expect(kvm, operation).toEqual(xen);
    }
  });
});

describe("a monitor that serves what QEMU does", () => {
  const qemu = { monitor: "qemu" } as const;
  const bench = (op: string): Case => ({
    name: op,
    image: () => hypercallBenchImage(),
    cmdline: `iterations=20 op=${op}`,
  });

  it.each(["get_runstate_info", "get_time"])(
    "refuses hypercall-bench %s every time, and the guest goes on",
    (op) => {
      const { shutdown, console } = ends(bench(op), epyc9124, qemu);
      expect(shutdown).toBe("poweroff");
      expect(console).toContain(" errors=20");
    },
  );

  it.each(["evtchn_send", "version"])("leaves %s to the kernel", (op) => {
    expect(ends(bench(op), epyc9124, qemu)).toEqual(ends(bench(op), epyc9124, {}));
  });

  it.each(["unpaged", "pse", "pae"])("has what self-check-%s needs", (paging) => {
    const guest = { name: paging, image: () => file(`test/guests/self-check-${paging}.elf`) };
    expect(ends(guest, skylakeSp, qemu)).toEqual(ends(guest, skylakeSp, {}));
  });

  it("knows the parameters of console and store alone, and maps no frames of the guest's own", () => {
    const SELF = 0x7ff0;
    const guest = defineGuest("asks", (g) => {
      const page = g.buffer(4096, 4096);
      const answer = (result: ReturnType<typeof g.variable>) => {
        g.printHex(result);
        g.print("\n");
        result.release();
      };
      for (const index of [1, 2, 17, 18]) {
        const result = g.hypercall.hvm.getParam({ domid: SELF, index }).result();
        answer(result);
      }
      answer(g.hypercall.hvm.getParam({ domid: SELF, index: 0 }).result());
      answer(g.hypercall.hvm.setParam({ domid: SELF, index: 0, value: 0 }).result());
      answer(g.hypercall.hvm.setParam({ domid: SELF, index: 19, value: 0 }).result());
      const gpfn = g.frameOf(page);
      for (const space of [2, 3, 4, 5])
        answer(g.hypercall.memory.addToPhysmap({ size: 0, space, idx: gpfn, gpfn }).result());
      gpfn.release();
    });
    const { console } = ends({ name: "asks", image: built(guest) }, epyc9124, qemu);
    const answers = console
      .trim()
      .split("\n")
      .map((text) => Number(BigInt.asIntN(64, BigInt(text))));
    const [ENOSYS, EOPNOTSUPP, EPERM] = [-38, -95, -1];
    expect(answers).toEqual([0, 0, 0, 0, ENOSYS, 0, ENOSYS, EOPNOTSUPP, EOPNOTSUPP, EPERM, EPERM]);
  });

  it("is refused by another name", () => {
    expect(() => ends(bench("version"), epyc9124, { monitor: "bochs" as never })).toThrow(/kvm\.monitor/);
  });
});
