import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { longModeGuest } from "./long-mode-guest.ts";

const BUFFER = 0x300000;
const RUNSTATE = 0x301008;
const TIME = 0x302020;
const VCPU_OP = 24;
const SCHED_OP = 29;
const FASTABI = 0x40000000;
const MS = 1_000_000;
const RSI = 6;
const RDI = 7;
const RDX = 2;
const R8 = 8;

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("timers and areas of a 64-bit guest under %s", (_, profile) => {
  it.each(["linear", "physaddr", "fastabi"] as const)("through %s", (abi) => {
    /** Sub-operation and the value that its struct begins with. */
    const calls: readonly (readonly [number, number])[] = [
      [14, RUNSTATE],
      [15, TIME],
      [6, 500 * MS], // none is due yet
      [8, 10 * MS],
    ];
    const results: number[] = [];
    const { system } = longModeGuest(profile, { abi }, (guest, step) => {
      if (step === 0) guest.enterLongMode(guest.cr3);
      else results.push(guest.words[0]);
      const fast = abi === "fastabi" ? FASTABI : 0;
      if (step < calls.length) {
        const [subop, value] = calls[step];
        system.domain.guestMemory.writeU32(BUFFER, value);
        guest.set(RDI, subop);
        guest.set(RSI, 0);
        guest.set(RDX, BUFFER);
        guest.set(R8, value);
        guest.set(9, 0);
        return guest.hypercall(VCPU_OP | fast);
      }
      if (step > calls.length) return undefined;
      guest.set(RDI, 1);
      return guest.hypercall(SCHED_OP | fast);
    });
    const { domain, vcpu } = system;
    const references = () =>
      [RUNSTATE, TIME].map((at) => system.frameTable.references(domain.p2m.translate(at >>> 12)));
    const [before] = references();
    system.domain.eventChannels.bindVirq(0, 0);
    system.run({ maxInstructions: calls.length + 2, maxCycles: 1e9 });
    expect(results).toEqual([0, 0, 0, 0, 0]);
    expect(references()).toEqual([before + 1, before + 1]); // for as long as they are registered
    const area = new DataView(domain.guestMemory.readBytes(RUNSTATE, 48).buffer);
    const at = (offset: number) => Number(area.getBigUint64(offset, true));
    const woken = at(8);
    expect(area.getUint32(0, true)).toBe(0);
    expect([woken >= 10 * MS, woken < 10.1 * MS]).toEqual([true, true]);
    expect(at(16) + at(32)).toBe(woken); // it ran, or was blocked
    expect(at(32)).toBeGreaterThan(9.9 * MS);
    expect(vcpu.timers.snapshot()).toMatchObject({ singleshot: -1, period: 500 * MS, periodic: 500 * MS });
    const time = new DataView(domain.guestMemory.readBytes(TIME, 32).buffer);
    expect([time.getUint32(0, true), time.getUint32(24, true) > 2 ** 31 - 1]).toEqual([0, true]);
  });
});
