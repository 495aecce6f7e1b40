import { epyc9124, sapphireRapids } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import type { PageConditions } from "../src/page-conditions.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { caller } from "./flat-guest.ts";
import {
  CLI,
  COUNTS,
  count,
  ENABLE,
  EOI,
  guest,
  HLT,
  IRET,
  le,
  SEND_NMI,
  STI,
  sendIpi,
  VCPU_OP,
  VECTOR,
  word,
} from "./smp-guest.ts";

/** A page that nobody touches before an event's frame is pushed there, and the one whose contents it may share. */
const STACK_GFN = 0x600;
const OTHER_GFN = 0x605;
const SOFTWARE = 0x40;
const NOP = 0x90;

type Prepare = (conditions: PageConditions) => void;

/** What can be the matter with the stack, by whose second stage it is. */
const XEN: readonly (readonly [string, Prepare])[] = [
  ["populated on demand", (conditions) => conditions.setUnpopulated(STACK_GFN)],
  ["shared with another page", ({ sharing }) => sharing.share(STACK_GFN, OTHER_GFN)],
  ["paged out", ({ paging }) => paging.pageOut(STACK_GFN)],
];
const KVM: readonly (readonly [string, Prepare])[] = [["not filled in yet", () => {}]];

const cases = (
  [
    ["Xen", createXenSystem, XEN],
    ["KVM", createKvmSystem, KVM],
  ] as const
).flatMap(([host, make, stacks]) =>
  [epyc9124, sapphireRapids].flatMap((profile) =>
    stacks.map(([stack, prepare]) => [host, profile.id, stack, { make, profile, prepare }] as const),
  ),
);

describe.each(cases)(
  "under %s on %s an event whose delivery meets a stack that is %s",
  (_, _id, _stack, { make, profile, prepare }) => {
    const run = (raise: readonly number[]) => {
      const body = [...ENABLE, 0xbc, ...le((STACK_GFN + 1) * 4096), ...raise, CLI, HLT];
      const handler = [...count(COUNTS), IRET];
      const system = guest<XenSystem | KvmSystem>(
        profile,
        1,
        { bodies: [body], handlers: { 2: handler, [SOFTWARE]: handler, [VECTOR]: [...EOI, ...handler] } },
        make,
      );
      prepare(system.domain.conditions);
      const raised = system.run({ maxInstructions: 1e4 });
      const faults = system.exitAccounts().filter(({ name }) => name === "npf" || name === "ept-violation");
      return { system, raised, faults: faults[0]?.count ?? 0 };
    };

    it.each([
      ["an interrupt", [STI, ...sendIpi(0, VECTOR)]],
      ["an NMI", caller(profile)(VCPU_OP, SEND_NMI, 0)],
      ["INT n", [0xcd, SOFTWARE]],
    ])("is delivered once: %s", (_event, raise) => {
      const { system, raised, faults } = run(raise);
      expect(raised).toMatchObject({ reason: "halted" });
      expect(word(system, COUNTS)).toBe(1);
      expect(faults).toBeGreaterThan(run([]).faults);
    });
  },
);

describe.each([epyc9124, sapphireRapids])(
  "under KVM on $id, while the monitor changes the stack's mapping",
  (profile) => {
    it.each([
      ["an interrupt", [STI, ...sendIpi(0, VECTOR)]],
      ["an NMI", caller(profile)(VCPU_OP, SEND_NMI, 0)],
      ["INT n", [0xcd, SOFTWARE]],
    ])("%s waits for the end of that, and is delivered once", (_event, raise) => {
      const idle = Array.from({ length: 64 }, () => NOP);
      const handler = [...count(COUNTS), IRET];
      const system = guest<KvmSystem>(
        profile,
        1,
        {
          bodies: [[...ENABLE, 0xbc, ...le((STACK_GFN + 1) * 4096), ...idle, ...raise, CLI, HLT]],
          handlers: { 2: handler, [SOFTWARE]: handler, [VECTOR]: [...EOI, ...handler] },
        },
        createKvmSystem,
      );
      system.run({ maxInstructions: idle.length });
      const { userSpace, memslots } = system.vm;
      const hva = memslots.hvaOf(STACK_GFN);
      const steps = userSpace.mmapSteps(hva, 4096, userSpace.frameOf(hva));
      steps.next();
      const { filled } = system.tdp;
      expect(system.run({ maxCycles: 100_000 })).toMatchObject({ reason: "budget" });
      expect([word(system, COUNTS), system.tdp.filled]).toEqual([0, filled]);
      while (steps.next().done !== true);
      expect(system.run({ maxInstructions: 1e4 })).toMatchObject({ reason: "halted" });
      expect(word(system, COUNTS)).toBe(1);
    });
  },
);
