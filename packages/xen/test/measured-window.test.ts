import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import type { XenSystem } from "../src/xen.ts";
import { END, flatGuest, le, NOP } from "./flat-guest.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const RDTSC = [0x0f, 0x31];
const XEN_VERSION = 17;

for (const profile of [epyc9124, skylakeSp]) {
  const call = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
  const body = [
    ...[NOP, NOP, NOP],
    ...RDTSC,
    ...Array(5).fill(NOP),
    // mov eax, 17; xor ebx, ebx; vmmcall or vmcall: the last one leaves instead of retiring
    ...[0xb8, ...le(XEN_VERSION), 0x31, 0xdb, ...call],
    // mov ecx, 40; dec ecx; jnz back
    ...[0xb9, ...le(40), 0x49, 0x75, 0xfd],
    // mov edi, 5000h; mov ecx, 300; rep stosb; lock inc dword [5000h]
    ...[0xbf, ...le(0x5000), 0xb9, ...le(300), 0xf3, 0xaa, 0xf0, 0xff, 0x05, ...le(0x5000)],
    ...Array(7).fill(NOP),
    ...RDTSC,
    ...END,
  ];
  const retired = 1 + 5 + 2 + 1 + 2 * 40 + 4 + 7;
  const guest = (): XenSystem => flatGuest(profile, body);

  describe(`guest instructions of the measured window, ${profile.id}`, () => {
    it("are those from one RDTSC to the next", () => {
      const system = guest();
      system.run();
      expect(system.window?.counters.guestInstructions).toBe(retired);
      expect(system.window?.hypercalls).toBe(1);
    });

    for (const piece of [1, 3, 10])
      it(`are the same in pieces of ${piece}, each in a system of its own`, () => {
        let system = guest();
        while (system.run({ maxInstructions: piece }).reason === "budget") {
          const snapshot = system.snapshot();
          system = guest();
          system.restore(snapshot);
        }
        expect(system.window?.counters.guestInstructions).toBe(retired);
      });
  });
}
