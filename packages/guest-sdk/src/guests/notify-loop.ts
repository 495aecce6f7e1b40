import { DoorbellRegister, DoorbellRing } from "@hyperwalk/xen";
import { linearAddress, physicalAddress } from "../assembler/label.js";
import { at, atLabel } from "../assembler/memory.js";
import { eax, edx, r8, rax, rcx } from "../assembler/register.js";
import { DoorbellStub, hypercallsOf, type NotifyTransport } from "../doorbell/doorbell-stub.js";
import { defineGuest, type Guest } from "../guest.js";
import type { GuestBuffer, GuestProgram } from "../guest-program.js";
import { GuestSourceError } from "../guest-source-error.js";

const WARM_UP = 64;
const MESSAGE_BYTES = 1500;
/** Passes: the first notification alone, a warm-up, the measured loop. */
const PASSES = 3;

/** How {@link notifyLoop} notifies. */
export interface NotifyLoopOptions {
  readonly transport: NotifyTransport;
  /**
   * Messages that the guest puts into a shared ring before each notification, 1 to 128; the handler takes them from there.
   * Default: no ring, and a notification says all there is to say.
   */
  readonly batch?: number | undefined;
}

/**
 * A guest that notifies its doorbell: once, then 64 times, then `iterations` times (at least two), each between two time
 * stamps. The same source for every transport; its build takes care that a page of hypercalls is asked for where one is used.
 * Prints `notify-loop: transport=… batch=… iterations=… first=… cycles=…`.
 */
export function notifyLoop({ transport, batch }: NotifyLoopOptions): Guest {
  if (batch !== undefined && (!Number.isInteger(batch) || batch < 1 || batch > DoorbellRing.Count))
    throw new GuestSourceError("VALUE", `batch: ${batch} is not an integer from 1 to ${DoorbellRing.Count}`);
  const guest = defineGuest("notify-loop", (g) => emitLoop(g, transport, batch));
  const hypercalls = hypercallsOf(transport);
  return {
    name: guest.name,
    build: (options) => guest.build({ ...options, hypercalls }),
    link: (options) => guest.link({ ...options, hypercalls }),
  };
}

function emitLoop(g: GuestProgram, transport: NotifyTransport, batch: number | undefined): void {
  if (g.iterations < 2) throw new GuestSourceError("VALUE", "iterations: at least 2, for the loop alone");
  const doorbell = new DoorbellStub(g, transport);
  doorbell.emitSetUp();
  const ring = batch === undefined ? undefined : g.buffer(4096, 4096);
  if (ring !== undefined) {
    const frame = g.frameOf(ring);
    doorbell.emitWrite(DoorbellRegister.Ring, frame);
    frame.release();
  }
  const results = g.buffer(8 * PASSES);
  const pass = g.variable(0);
  // One site that notifies, so that what is done to it is done once.
  const again = g.asm.here("pass");
  const count = g.variable(1);
  g.when(pass, "e", 1, () => g.set(count, WARM_UP));
  g.when(pass, "e", 2, () => g.set(count, g.iterations));
  const cycles = g.measure(() =>
    g.repeat(count, () => {
      if (ring !== undefined) emitMessages(g, ring, batch ?? 1);
      doorbell.emitNotify();
    }),
  );
  g.asm.mov(rcx, linearAddress(results.label));
  g.asm.mov(rax, pass.register);
  g.asm.shift("shl", rax, 3);
  g.asm.alu("add", rcx, rax);
  g.asm.mov(at(rcx), cycles.register);
  count.release();
  cycles.release();
  g.add(pass, 1);
  g.asm.alu("cmp", pass.register, PASSES);
  g.asm.jcc("b", again);
  const report = (text: string, which: number): void => {
    g.print(text);
    g.asm.mov(pass.register, atLabel(results.label, 8 * which));
    g.printDecimal(pass);
  };
  g.print(`notify-loop: transport=${transport} batch=${batch ?? 0} iterations=${g.iterations}`);
  report(" first=", 0);
  report(" cycles=", PASSES - 1);
  g.print("\n");
  pass.release();
}

/** Puts so many descriptors into the ring, and then says so. The handler has always taken the earlier ones. */
function emitMessages(g: GuestProgram, ring: GuestBuffer, count: number): void {
  const { asm } = g;
  const { Produced, Slots, Count, SlotBytes, Length, Identity } = DoorbellRing;
  asm.mov(r8, physicalAddress(ring.label));
  asm.mov(edx, atLabel(ring.label, Produced));
  const put = (): void => {
    asm.mov(eax, edx);
    asm.alu("and", eax, Count - 1);
    asm.shift("shl", eax, Math.log2(SlotBytes));
    asm.mov(rcx, linearAddress(ring.label, Slots));
    asm.alu("add", rcx, rax);
    asm.mov(at(rcx), r8);
    asm.mov(at(rcx, Length), MESSAGE_BYTES, 32);
    asm.mov(at(rcx, Identity), edx);
    asm.alu("add", edx, 1);
  };
  if (count === 1) put();
  else g.repeat(count, put);
  asm.mov(atLabel(ring.label, Produced), edx);
}
