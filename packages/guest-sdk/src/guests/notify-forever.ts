import { linearAddress } from "../assembler/label.js";
import { atLabel } from "../assembler/memory.js";
import { eax, rax, resized } from "../assembler/register.js";
import { DoorbellStub, hypercallsOf, type NotifyTransport } from "../doorbell/doorbell-stub.js";
import { defineGuest, type Guest } from "../guest.js";
import type { GuestProgram } from "../guest-program.js";

const UD = 6;
const GATE_BYTES = 16;
const CODE_SELECTOR = 0x08;
const INTERRUPT_GATE = 0x8e00;

/** How {@link notifyForever} notifies. */
export interface NotifyForeverOptions {
  readonly transport: NotifyTransport;
}

/**
 * A guest that notifies its doorbell and never ends, so that it can be stopped, moved and run on anywhere. A #UD ends it: its
 * handler halts with interrupts off and RAX = RIP of the instruction that is undefined.
 */
export function notifyForever({ transport }: NotifyForeverOptions): Guest {
  const guest = defineGuest("notify-forever", (g) => {
    emitHandler(g);
    const doorbell = new DoorbellStub(g, transport);
    doorbell.emitSetUp();
    const forever = g.asm.here("notify");
    doorbell.emitNotify();
    g.asm.jmp(forever);
  });
  const hypercalls = hypercallsOf(transport);
  return {
    name: guest.name,
    build: (options) => guest.build({ ...options, hypercalls }),
    link: (options) => guest.link({ ...options, hypercalls }),
  };
}

/** An IDT that has #UD alone, and its handler. */
function emitHandler(g: GuestProgram): void {
  const { asm: a } = g;
  const idt = g.buffer((UD + 1) * GATE_BYTES, 16);
  const handler = a.label("#UD");
  const pointer = a.label("idt pointer");
  const ready = a.label("IDT loaded");
  const gate = UD * GATE_BYTES;
  const ax = resized(rax, 16);
  a.mov(rax, linearAddress(handler));
  a.mov(atLabel(idt.label, gate), ax);
  a.mov(atLabel(idt.label, gate + 2), CODE_SELECTOR, 16);
  a.mov(atLabel(idt.label, gate + 4), INTERRUPT_GATE, 16);
  a.shift("shr", rax, 16);
  a.mov(atLabel(idt.label, gate + 6), ax);
  a.shift("shr", rax, 16);
  a.mov(atLabel(idt.label, gate + 8), eax);
  a.lidt(atLabel(pointer));
  a.jmp(ready);
  a.align(8, 0x90);
  a.bind(pointer);
  a.integer((UD + 1) * GATE_BYTES - 1, 2);
  a.reference("linear64", idt.label);
  a.bind(handler);
  a.pop(rax);
  a.plain("cli");
  const halt = a.here("halted by #UD");
  a.plain("hlt");
  a.jmp(halt);
  a.bind(ready);
}
