import { expect, test } from "vitest";
import { Ept, LongModeTables, MmuCounter, PagingMode, Pte } from "@hyperwalk/mmu";
import { GUEST_BASE, TestMachine } from "./machine.js";

test.each(["npt", "ept"] as const)("cold 4x4 walk over %s makes 24 references", (format) => {
  const m = new TestMachine();
  const stage = m.stage(format);
  const attributes = format === "npt" ? Pte.Present | Pte.Write : Ept.All | Ept.WriteBack;
  stage.mapRange(0, GUEST_BASE, 64, "4k", attributes);
  let next = 1;
  const guest = new LongModeTables({
    memory: m.memory,
    allocate: () => next++,
    locate: (gfn) => gfn + GUEST_BASE,
  });
  guest.map(0x400, 32, "4k", Pte.Present | Pte.Write | Pte.User);
  m.memory.writeU32((GUEST_BASE + 32) * 4096 + 8, 0x1234);
  const c = m.context({
    paging: PagingMode.FourLevel,
    rootFrame: guest.rootFrame,
    asid: 1,
    secondStage: { format, rootFrame: stage.rootFrame, levels: 4, tag: 0, accessDirty: true },
  });
  m.mmu.activate(c);
  const at = m.mmu.read(0x400008, 0, 4);
  expect(m.mmu.fault.kind).toBe(0);
  expect(m.arena.view.getUint32(at, true)).toBe(0x1234);
  expect(m.counters[MmuCounter.WalkReferences]).toBe(24);
  expect(m.charged).toBe(m.ledger.clock[0]);
  expect(m.mmu.probe(0x400008, 0)).toBe(GUEST_BASE + 32);
});
