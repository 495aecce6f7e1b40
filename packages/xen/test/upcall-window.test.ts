import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { CLI, END, flatGuest, HLT, IRET, le, NOP, print, STI } from "./flat-guest.ts";

const VECTOR = 0x30;
const SHINFO = 0x500000;
const STRUCTS = 0x40000;
const FREE_PORT = 3;

/** Number, command and a structure of 32-bit words each. */
const CALLS: readonly (readonly [number, number, readonly number[]])[] = [
  [12, 7, [0x7ff0, 0, 0, SHINFO / 4096]], // XENMEM_add_to_physmap, shared_info
  [34, 0, [0x7ff0, 0, VECTOR, 0x02000000]], // HVMOP_set_param, HVM_PARAM_CALLBACK_IRQ
  [32, 7, [0, 0]], // EVTCHNOP_bind_ipi
  [32, 4, [FREE_PORT]], // EVTCHNOP_send
];

/** A 32-bit guest that sends itself an event with interrupts off, and then goes on with these instructions. */
function guest(profile: ProcessorProfile, then: readonly number[]) {
  const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
  const calls = CALLS.flatMap(([number, command], i) => [
    ...[0xb8, ...le(number), 0xbb, ...le(command), 0xb9, ...le(STRUCTS + 64 * i)],
    ...instruction,
  ]);
  const handler = [0xc6, 0x05, ...le(SHINFO), 0, ...print("u"), IRET];
  const system = flatGuest(profile, [CLI, ...calls, ...then, ...END], { [VECTOR]: handler });
  CALLS.forEach(([, , words], i) => {
    words.forEach((word, j) => {
      system.domain.guestMemory.writeU32(STRUCTS + 64 * i + 4 * j, word);
    });
  });
  return system;
}

describe.each([epyc9124, skylakeSp])("an upcall that finds interrupts off on $id", (profile) => {
  it("comes when they are turned on, before any other exit", () => {
    const system = guest(profile, [STI, NOP, NOP, ...print("a")]);
    system.run();
    expect(system.console).toBe("ua\n");
  });

  it("does not come before, whatever exits there are", () => {
    const system = guest(profile, [...print("a"), STI, NOP, NOP, ...print("b")]);
    system.run();
    expect(system.console).toBe("aub\n");
  });

  it("comes after the instruction behind STI, and wakes HLT", () => {
    const system = guest(profile, [STI, HLT, ...print("a")]);
    system.run();
    expect(system.console).toBe("ua\n");
  });
});
