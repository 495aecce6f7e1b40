import {
  Activity,
  epyc9124,
  Flag,
  type Processor,
  ProcessorGroup,
  ApicRegister as R,
  State,
  StopReason,
} from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { handlerOf, installTables, le, Machine } from "./machine.js";

const CODE = 0x100000;
const OTHER = 0x110000;
const BODY = 0x190000;
const COUNTER = 0x180000;
const VECTOR = 0x30;
const HLT = 0xf4;
const NOP = 0x90;
const store = (offset: number, value: number) => [0xc7, 0x83, ...le(offset, 4), ...le(value, 4)];
const IRETQ = [0x48, 0xcf];
const FOREVER = 1e9;

/** Processors in 64-bit mode with one set of tables; rbx is the APIC page, rsp a stack of each one's own. */
function group(count: number, slice?: number): ProcessorGroup {
  const template = new Machine().long(CODE);
  installTables(template);
  const { memory: source } = template.processor;
  source.writeU64(0x2000 + 24, 0x4007n);
  for (let i = 0; i < 512; i++) source.writeU64(0x4000 + 8 * i, (BigInt(i) << 21n) | 0xc0000087n);
  const made = new ProcessorGroup({ profile: epyc9124, count, ...(slice === undefined ? {} : { slice }) });
  const { memory } = made.processors[0];
  memory.addRam(0, 4096);
  memory.writeBytes(0, source.readBytes(0, 0x10000));
  const activity = made.processors.map(({ state }) => state.words[State.Activity]);
  for (const [i, processor] of made.processors.entries()) {
    processor.state.words.set(template.words);
    processor.state.words[State.Activity] = activity[i];
    processor.state.words[State.Gpr + 8] = 0x200000 + 0x10000 * i;
    processor.state.words[State.Gpr + 6] = 0xfee00000 | 0;
    processor.syncTranslation();
    processor.apic.store(R.SpuriousVector, 4, 0x1ff);
  }
  return made;
}

const write = (made: ProcessorGroup, at: number, bytes: readonly number[]) =>
  made.processors[0].memory.writeBytes(at, Uint8Array.from(bytes));

/** An application processor that is past its start: running at `rip`, interrupts on. */
function start(processor: Processor, rip: number, activity: number = Activity.Running): void {
  const { words } = processor.state;
  words[State.RipLo] = rip;
  words[State.Activity] = activity;
  words[State.Flags] |= Flag.If;
}

function installHandler(made: ProcessorGroup, vector: number, body: readonly number[]): void {
  write(made, handlerOf(vector), [0xe9, ...le(BODY + 64 * vector - handlerOf(vector) - 5, 4)]);
  write(made, BODY + 64 * vector, body);
}

const idleTicks = (processor: Processor) =>
  processor.ledger.rows().find((row) => row.cause === "idle")?.ticks ?? 0;

describe("a group of processors", () => {
  it("refuses counts that APIC IDs do not allow", () => {
    expect(() => new ProcessorGroup({ profile: epyc9124, count: 0 })).toThrow(RangeError);
    expect(() => new ProcessorGroup({ profile: epyc9124, count: 255 })).toThrow(RangeError);
    expect(() => new ProcessorGroup({ profile: epyc9124, count: 1, slice: 0 })).toThrow(RangeError);
  });

  it("ends when every processor waits for ever", () => {
    const made = group(3);
    write(made, CODE, [HLT]);
    expect(made.run(FOREVER, Number.POSITIVE_INFINITY)).toEqual({ reason: StopReason.Halted, processor: -1 });
    expect(made.processors.map(({ state }) => state.words[State.Activity])).toEqual([
      Activity.Halted,
      Activity.WaitForSipi,
      Activity.WaitForSipi,
    ]);
  });

  it("starts an application processor by INIT and SIPI, at the page that the vector names", () => {
    const made = group(2);
    write(made, CODE, [
      ...store(R.InterruptCommandHigh, 1 << 24),
      ...store(R.InterruptCommand, 0x4500),
      ...store(R.InterruptCommand, 0x4600 | 0x9a),
      HLT,
    ]);
    write(made, 0x9a000, [HLT]);
    made.run(FOREVER, Number.POSITIVE_INFINITY);
    const { words } = made.processors[1].state;
    expect(words[State.Segments + 8]).toBe(0x9a00);
    expect(words[State.Segments + 8 + 3]).toBe(0x9a000);
    expect(words[State.Cr0] & 1).toBe(0);
    expect(words[State.RipLo]).toBeLessThanOrEqual(1);
    expect(words[State.Activity]).not.toBe(Activity.WaitForSipi);
  });

  it("ignores a SIPI without INIT", () => {
    const made = group(2);
    start(made.processors[1], OTHER, Activity.Halted);
    write(made, CODE, [
      ...store(R.InterruptCommandHigh, 1 << 24),
      ...store(R.InterruptCommand, 0x4600 | 0x9a),
      HLT,
    ]);
    made.run(FOREVER, Number.POSITIVE_INFINITY);
    expect(made.processors[1].state.words[State.RipLo]).toBe(OTHER);
  });

  it("wakes a sleeper at exactly the time at which the message was sent", () => {
    const made = group(2);
    const [first, second] = made.processors;
    start(second, OTHER, Activity.Halted);
    write(made, OTHER, [HLT]);
    installHandler(made, VECTOR, [HLT]);
    // A delay first, so that there is something to sleep through.
    write(made, CODE, [
      0xb9,
      ...le(5000, 4),
      0xff,
      0xc9,
      0x75,
      0xfc,
      ...store(R.InterruptCommandHigh, 1 << 24),
      ...store(R.InterruptCommand, VECTOR),
      HLT,
    ]);
    let sentAt = 0;
    const send = made.send.bind(made);
    made.send = (source, lo, destination) => {
      sentAt = first.ledger.clock[0];
      send(source, lo, destination);
    };
    made.run(FOREVER, Number.POSITIVE_INFINITY);
    expect(sentAt).toBeGreaterThan(5000 * 256);
    expect(idleTicks(second)).toBe(sentAt);
    expect(second.state.words[State.RipLo]).toBe(BODY + 64 * VECTOR + 1);
  });

  it("does not let a locked increment get lost, whatever the slice", () => {
    for (const slice of [1, 77, 5000]) {
      const made = group(3, slice);
      const loop = [0xb9, ...le(700, 4), 0xf0, 0xff, 0x06, 0xff, 0xc9, 0x75, 0xf9, HLT]; // lock inc [rsi]
      write(made, CODE, loop);
      for (const processor of made.processors) {
        processor.state.words[State.Gpr + 12] = COUNTER;
        if (processor.apic.id !== 0) start(processor, CODE);
      }
      expect(made.run(FOREVER, Number.POSITIVE_INFINITY).reason).toBe(StopReason.Halted);
      expect(made.processors[0].memory.readU32(COUNTER)).toBe(2100);
      const clocks = made.processors.map(({ ledger }) => ledger.clock[0]);
      expect(Math.max(...clocks) - Math.min(...clocks)).toBeLessThan(Math.min(...clocks) * 0.2);
    }
  });

  it("plays an exchange of interrupts, and two runs are byte-identical", () => {
    const run = () => {
      const made = group(2, 300);
      // Each handler counts in memory, tells the other one, and returns.
      installHandler(made, VECTOR, [
        0xf0,
        0xff,
        0x06,
        ...store(R.Eoi, 0),
        0x83,
        0x3e,
        40,
        0x73,
        10, // cmp dword [rsi], 40; jae past the command
        ...store(R.InterruptCommand, 0xc0000 | VECTOR),
        ...IRETQ,
      ]);
      const sleep = [0xfb, HLT, 0xeb, 0xfc];
      write(made, CODE, [...store(R.InterruptCommand, 0xc0000 | VECTOR), ...sleep]);
      write(made, OTHER, sleep);
      for (const { state } of made.processors) state.words[State.Gpr + 12] = COUNTER;
      start(made.processors[1], OTHER);
      const stop = made.run(FOREVER, Number.POSITIVE_INFINITY);
      expect(stop.reason).toBe(StopReason.Halted);
      expect(made.processors[0].memory.readU32(COUNTER)).toBe(40);
      return JSON.stringify(
        made.processors.map(({ state, ledger, apic, engine }) => [
          [...state.words],
          ledger.rows(),
          apic.snapshot(),
          engine.instructions,
        ]),
      );
    };
    expect(run()).toBe(run());
  });

  it("broadcasts an NMI to all others", () => {
    const made = group(3);
    installHandler(made, 2, [0xf0, 0xff, 0x06, ...IRETQ]);
    write(made, CODE, [...store(R.InterruptCommand, 0xc4400), HLT]);
    write(made, OTHER, [HLT, HLT]);
    for (const processor of made.processors) {
      processor.state.words[State.Gpr + 12] = COUNTER;
      if (processor.apic.id !== 0) start(processor, OTHER, Activity.Halted);
    }
    made.run(FOREVER, Number.POSITIVE_INFINITY);
    expect(made.processors[0].memory.readU32(COUNTER)).toBe(2);
  });

  it("stops with a budget and goes on; messages under way are part of the snapshot", () => {
    const made = group(2);
    start(made.processors[1], OTHER, Activity.Halted);
    write(made, OTHER, [HLT, HLT]);
    installHandler(made, VECTOR, [0xf0, 0xff, 0x06, ...store(R.Eoi, 0), ...IRETQ]);
    for (const { state } of made.processors) state.words[State.Gpr + 12] = COUNTER;
    write(made, CODE, [
      ...store(R.InterruptCommandHigh, 1 << 24),
      ...store(R.InterruptCommand, VECTOR),
      NOP,
      HLT,
    ]);
    expect(made.run(2, Number.POSITIVE_INFINITY).reason).toBe(StopReason.Budget);
    const snapshot = JSON.parse(JSON.stringify(made.snapshot()));
    expect(snapshot.messages).toHaveLength(1);
    made.restore({ messages: [] });
    made.restore(snapshot);
    made.run(FOREVER, Number.POSITIVE_INFINITY);
    expect(made.processors[0].memory.readU32(COUNTER)).toBe(1);
  });

  it("executes what another processor wrote over code that was decoded already", () => {
    const made = group(2);
    const SEEN = COUNTER + 8;
    const put = (at: number, value: number) => [0xc7, 0x04, 0x25, ...le(at, 4), ...le(value, 4)];
    // Writes 1 into the other's instruction, waits until that was seen, and writes 2.
    const wait = [0x83, 0x3c, 0x25, ...le(SEEN, 4), 1, 0x75, 0xf6];
    write(made, CODE, [...put(OTHER + 1, 1), ...wait, ...put(OTHER + 1, 2), HLT]);
    // mov eax, 0; mov [SEEN], eax; cmp eax, 2; jne back; hlt
    write(made, OTHER, [0xb8, 0, 0, 0, 0, 0x89, 0x04, 0x25, ...le(SEEN, 4), 0x83, 0xf8, 2, 0x75, 0xef, HLT]);
    start(made.processors[1], OTHER);
    expect(made.run(1e6, Number.POSITIVE_INFINITY)).toEqual({ reason: StopReason.Halted, processor: -1 });
    expect(made.processors[0].memory.readU32(SEEN)).toBe(2);
  });

  it("says which processor stopped", () => {
    const made = group(2);
    start(made.processors[1], OTHER);
    write(made, CODE, [0xeb, 0xfe]);
    write(made, OTHER, [0x8b, 0x04, 0x25, ...le(0x70000000, 4)]); // no RAM, not mapped
    made.processors[1].state.words[State.IdtrLimit] = 0;
    expect(made.run(FOREVER, 1e9)).toEqual({ reason: StopReason.TripleFault, processor: 1 });
  });
});
