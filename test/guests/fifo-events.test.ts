import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import {
  atLabel,
  defineGuest,
  eax,
  type GuestBuffer,
  type GuestProgram,
  indexed,
  linearAddress,
  rcx,
  resized,
} from "@hyperwalk/guest-sdk";
import { createXenSystem, decodeSnapshot, encodeSnapshot } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";
import { ABIS, boot } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const MASKED = 1 << 30;
const LINKED_AND_LINK = (1 << 29) | 0x1ffff;
const CONTROL_OFFSET = 64;
const HEADS = 8;
/** Port 3 is the first that the toolstack has not connected. */
const SECOND = 4;

/** Three ports of its own: one pending before the change to FIFO, one masked, one of the highest priority. */
const fifoEvents = defineGuest("fifo-events", (g) => {
  const control = g.buffer(4096, 4096);
  const words = g.buffer(4096, 4096);
  const { eventChannel, sched } = g.hypercall;
  const bound = () => {
    const port = eventChannel.bindIpi({ vcpu: 0 }).output("port");
    g.printDecimal(port);
    g.print(" ");
    return port;
  };
  const printIf = (call: () => { result(): ReturnType<typeof bound> }, expected: number, text: string) => {
    const result = call().result();
    g.when(result, "e", expected, () => g.print(text));
    result.release();
  };
  const first = bound();
  const second = bound();
  const third = bound();
  eventChannel.send({ port: first });
  g.asm.mov(atLabel(words.label, 4 * SECOND), MASKED, 32);

  const controlGfn = g.frameOf(control);
  printIf(() => eventChannel.expandArray({ arrayGfn: controlGfn }), -95, "too early, ");
  const linkBits = eventChannel
    .initControl({ controlGfn, offset: CONTROL_OFFSET, vcpu: 0 })
    .output("link_bits");
  controlGfn.release();
  g.printDecimal(linkBits);
  linkBits.release();
  g.print(" link bits");
  const arrayGfn = g.frameOf(words);
  printIf(() => eventChannel.expandArray({ arrayGfn }), 0, ", expanded");
  arrayGfn.release();
  printIf(() => eventChannel.setPriority({ port: third, priority: 0 }), 0, ", chosen");
  printIf(() => eventChannel.setPriority({ port: third, priority: 16 }), -22, ", refused");
  for (const port of [second, third, first, third]) eventChannel.send({ port });
  printIf(() => sched.block(), 0, ", awake");
  first.release();
  third.release();
  emitTake(g, control, words);
  eventChannel.unmask({ port: second });
  emitTake(g, control, words);
  g.print("\n");
});

/** Prints READY, takes everything out of queues 0 and 7, and prints what was pending and not masked. */
function emitTake(g: GuestProgram, control: GuestBuffer, words: GuestBuffer): void {
  const { asm } = g;
  const ready = g.variable(0);
  asm.xchg(atLabel(control.label, CONTROL_OFFSET), resized(ready.register, 32));
  g.print("; ");
  g.printHex(ready);
  for (const queue of [0, 7]) {
    const port = g.variable(0);
    const next = g.variable(0);
    const done = asm.label("queue is empty");
    asm.test(resized(ready.register, 32), 1 << queue);
    asm.jcc("e", done);
    asm.mov(resized(port.register, 32), atLabel(control.label, CONTROL_OFFSET + HEADS + 4 * queue));
    const top = asm.here("event");
    asm.mov(rcx, linearAddress(words.label));
    const word = indexed(rcx, port.register, 4);
    asm.mov(eax, word);
    asm.alu("and", word, ~LINKED_AND_LINK, 32);
    asm.mov(resized(next.register, 32), eax);
    asm.alu("and", resized(next.register, 32), 0x1ffff);
    asm.shift("shr", eax, 30);
    asm.alu("cmp", eax, 2); // PENDING and not MASKED
    const skip = asm.label("not for us");
    asm.jcc("ne", skip);
    asm.alu("and", word, 0x7fffffff, 32);
    g.print(" ");
    g.printDecimal(port);
    asm.bind(skip);
    g.set(port, next);
    asm.test(port.register, port.register);
    asm.jcc("ne", top);
    asm.bind(done);
    next.release();
    port.release();
  }
  ready.release();
}

const EXPECTED = "3 4 5 too early, 17 link bits, expanded, chosen, refused, awake; 0x81 5 3; 0x80 4\n";

describe.each([
  ["amd", epyc9124],
  ["intel", skylakeSp],
] as const)("a guest with FIFO event channels on %s", (vendor, profile) => {
  it.each(ABIS)("gets its events by priority and in order, %s", (abi) => {
    const { system, outcome } = boot(profile, abi, fifoEvents.build({ abi, vendor }));
    expect(system.console).toBe(EXPECTED);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
  });

  it("goes on the same from a snapshot, wherever that was taken", () => {
    const domain = {
      image: fifoEvents.build({ abi: "linear", vendor }),
      memoryBytes: 64 * 2 ** 20,
      abi: "linear",
    } as const;
    const made = () => createXenSystem({ profile, xen: {}, domain });
    const straight = made();
    straight.run({ maxInstructions: 10 ** 7 });
    const { instructions } = straight.processor.engine;
    for (const part of [0.3, 0.5, 0.7, 0.9]) {
      const saved = made();
      saved.run({ maxInstructions: Math.floor(instructions * part) });
      const restored = made();
      restored.restore(decodeSnapshot(encodeSnapshot(saved.snapshot())));
      restored.run({ maxInstructions: 10 ** 7 });
      expect(restored.console).toBe(EXPECTED);
      expect(restored.ledger.rows()).toEqual(straight.ledger.rows());
      expect(restored.domain.eventChannels.snapshot()).toEqual(straight.domain.eventChannels.snapshot());
    }
  });
});
