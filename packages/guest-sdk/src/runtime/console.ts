import type { Assembler } from "../assembler/assembler.js";
import type { Label } from "../assembler/label.js";
import { at, atLabel, indexed } from "../assembler/memory.js";
import { al, eax, ecx, edx, r8, rax, rcx, rdi, rdx, resized, rsi } from "../assembler/register.js";
import { descriptorOf } from "../stubs/descriptor-of.js";
import type { StubEmitter } from "../stubs/stub-emitter.js";

const DOMID_SELF = 0x7ff0;
const PARAM_CONSOLE_PFN = 17;
const PARAM_CONSOLE_EVTCHN = 18;
const DEBUG_PORT = 0xe9;
/** `struct xencons_interface`: out[2048] after in[1024], then the indices. */
const RING_OUT = 1024;
const RING_OUT_BYTES = 2048;
const RING_OUT_CONS = 3080;
const RING_OUT_PROD = 3084;
/** Yields after which a silent other end is given up. */
const MAX_YIELDS = 100000;

const r8b = resized(r8, 8);

/** Memory of the console code; 8 zeroed bytes each. */
export interface ConsoleState {
  /** Address of the ring page, 0 when there is none. */
  readonly ring: Label;
  readonly port: Label;
}

/** Looks the PV console up by HVM_PARAM_CONSOLE_PFN and _EVTCHN; without one, text goes to port 0xe9. */
export function emitConsoleInit(a: Assembler, stubs: StubEmitter, state: ConsoleState): void {
  const getParam = descriptorOf("hvm.get_param");
  const value = getParam.outputs[0];
  const done = a.label("console known");
  stubs.emitCall(a, getParam, [DOMID_SELF, PARAM_CONSOLE_EVTCHN]);
  a.test(rax, rax);
  a.jcc("ne", done);
  stubs.emitOutput(a, getParam, value, rcx);
  a.mov(atLabel(state.port), rcx);
  stubs.emitCall(a, getParam, [DOMID_SELF, PARAM_CONSOLE_PFN]);
  a.test(rax, rax);
  a.jcc("ne", done);
  stubs.emitOutput(a, getParam, value, rcx);
  a.shift("shl", rcx, 12);
  a.mov(atLabel(state.ring), rcx);
  a.bind(done);
}

/** Entry points of {@link emitConsoleRoutines}. Both may overwrite what hypercall stubs may, and RCX. */
export interface ConsoleRoutines {
  /** Writes RCX bytes from RSI. */
  readonly print: Label;
  /** Notifies the other end and waits, for a bounded number of yields, until it has taken everything. */
  readonly flush: Label;
}

export function emitConsoleRoutines(
  a: Assembler,
  stubs: StubEmitter,
  state: ConsoleState,
  { print, flush }: ConsoleRoutines,
): void {
  const toPort = a.label("print to port");
  const drain = a.label("drain");
  const done = a.label("print done");

  a.bind(print);
  a.test(ecx, ecx);
  a.jcc("e", done);
  const nextByte = a.here("print byte");
  a.mov(rdi, atLabel(state.ring));
  a.test(rdi, rdi);
  a.jcc("e", toPort);
  const room = a.label("room in the ring");
  a.mov(eax, at(rdi, RING_OUT_PROD));
  a.mov(edx, eax);
  a.alu("sub", edx, at(rdi, RING_OUT_CONS));
  a.alu("cmp", edx, RING_OUT_BYTES);
  a.jcc("b", room);
  a.push(rsi);
  a.push(rcx);
  a.call(drain);
  a.pop(rcx);
  a.pop(rsi);
  a.jmp(nextByte);
  a.bind(room);
  a.mov(edx, eax);
  a.alu("and", edx, RING_OUT_BYTES - 1);
  a.mov(r8b, at(rsi));
  a.mov(indexed(rdi, rdx, 1, RING_OUT), r8b);
  a.inc(eax);
  a.mov(at(rdi, RING_OUT_PROD), eax);
  const nextOrDone = a.here("next byte");
  a.inc(rsi);
  a.dec(ecx);
  a.jcc("ne", nextByte);
  a.bind(done);
  a.plain("ret");
  a.bind(toPort);
  a.mov(al, at(rsi));
  a.mov(edx, DEBUG_PORT);
  a.outAl("dx");
  a.jmp(nextOrDone);

  a.bind(flush);
  a.mov(rdi, atLabel(state.ring));
  a.test(rdi, rdi);
  a.jcc("e", done);
  // Waits for an empty ring; a full one has room long before that.
  a.bind(drain);
  a.mov(ecx, MAX_YIELDS);
  const wait = a.here("wait for the console");
  a.push(rcx);
  a.mov(rcx, atLabel(state.port));
  stubs.emitCall(a, descriptorOf("event_channel.send"), [rcx]);
  stubs.emitCall(a, descriptorOf("sched.yield"), []);
  a.pop(rcx);
  a.mov(rdi, atLabel(state.ring));
  a.mov(eax, at(rdi, RING_OUT_PROD));
  a.alu("cmp", eax, at(rdi, RING_OUT_CONS));
  a.jcc("e", done);
  a.dec(ecx);
  a.jcc("ne", wait);
  a.mov(atLabel(state.ring), 0, 64); // nobody there: the rest goes to the port
  a.plain("ret");
}
