import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { type SvmSnapshot, VMCB_FIELDS, VmcbOffset } from "../../src/svm/index.js";
import { VirtualizationError } from "../../src/virtualized-processor.js";
import { FieldKind, VMCS_FIELDS, VmcsField, type VmxSnapshot } from "../../src/vmx/index.js";
import { CODE, GuestMachine } from "./guest-machine.js";

/** Control structure, and the low part of the guest's memory. */
const FIRST_FRAME = 100 * 4096;
const FRAMES = 4096;
const TIMEOUT = 60_000;
const RUNS = 150;
const BUDGET = 200;
const ENTRIES = 4;
const word = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, 1, -1, 0x10, 0x1000, 0x80000000 | 0, 0x80000b0e | 0, 0x80000030 | 0),
  fc.nat(0xffff),
);
const bytes = fc.uint8Array({ minLength: 8, maxLength: 48 });

/** Instructions that intercepts are about, for the guest code to be made of besides random bytes. */
const SNIPPETS: readonly (readonly number[])[] = [
  [0x0f, 0xa2],
  [0x9c],
  [0x9d],
  [0x48, 0xcf],
  [0xcd, 3],
  [0xcc],
  [0xf1],
  [0xfb],
  [0xfa],
  [0xec],
  [0x6e],
  [0xf3, 0x6c],
  [0x0f, 0x30],
  [0x0f, 0x32],
  [0x0f, 0x22, 0xc0],
  [0x0f, 0x22, 0xd8],
  [0x0f, 0x22, 0xe0],
  [0x44, 0x0f, 0x22, 0xc0],
  [0x0f, 0x21, 0xf8],
  [0x0f, 0x23, 0xf8],
  [0x0f, 0x01, 0xd8],
  [0x0f, 0x01, 0xdb],
  [0x0f, 0x01, 0xdc],
  [0x0f, 0x01, 0xdd],
  [0x0f, 0x01, 0xdf],
  [0x0f, 0x01, 0x15, 0, 0, 0, 0],
  [0x0f, 0x00, 0xd8],
  [0x0f, 0x78, 0xc3],
  [0x66, 0x0f, 0x38, 0x80, 0x03],
  [0x66, 0x0f, 0x38, 0x82, 0x03],
  [0xf3, 0x90],
  [0x0f, 0x08],
  [0x0f, 0x09],
  [0x0f, 0x31],
  [0x8e, 0xd0],
  [0x0f, 0x0b],
];
const code = fc
  .array(fc.oneof(fc.constantFrom(...SNIPPETS), fc.array(fc.nat(255), { minLength: 1, maxLength: 4 })), {
    minLength: 1,
    maxLength: 10,
  })
  .map((parts) => parts.flat());

/** @returns what puts a fresh machine back into its first state, with this code */
function rewinder(machine: GuestMachine): (text: readonly number[]) => void {
  const { processor, hardware } = machine;
  const memory = processor.memory.readBytes(FIRST_FRAME, FRAMES);
  const { words } = processor.state;
  const registers = words.slice();
  const snapshot = hardware.snapshot();
  return (text) => {
    processor.memory.writeBytes(FIRST_FRAME, memory);
    words.set(registers);
    if (hardware.vendor === "amd") hardware.restore(snapshot as SvmSnapshot);
    else hardware.restore(snapshot as VmxSnapshot);
    processor.mmu.invalidateAll();
    machine.write(CODE, text);
  };
}

/** Enters a few times, with something from outside in between. Only the typed error may come out. */
function run(machine: GuestMachine, signals: Uint8Array): void {
  const { hardware, processor } = machine;
  for (let i = 0; i < ENTRIES; i++) {
    const signal = signals[i % signals.length] & 7;
    if (signal === 1) hardware.raiseInterrupt(0x20 + signals[i % signals.length]);
    if (signal === 2) hardware.raiseNmi();
    if (signal === 3) hardware.raiseInit();
    try {
      const exit = hardware.enter(BUDGET, processor.ledger.clock[0] + 1e8);
      expect(exit.kind).toBeGreaterThanOrEqual(ExitKind.Cpuid);
      expect(exit.kind).toBeLessThanOrEqual(ExitKind.EngineStop);
    } catch (error) {
      expect(error).toBeInstanceOf(VirtualizationError);
      return;
    }
    expect(processor.guestMode).toBeNull();
    expect(processor.mmu.context).toBe(machine.host);
    expect(processor.ledger.phaseDepth).toBe(0);
    expect(processor.eventInDelivery.info).toBe(0);
  }
}

describe("whatever the control structure holds, VM entry fails by the architecture or the guest runs", () => {
  it(
    "VMCB: a few fields at random",
    () => {
      const machine = new GuestMachine("amd", [0x90, 0xf4]);
      const rewind = rewinder(machine);
      const field = fc.tuple(fc.constantFrom(...VMCB_FIELDS), word, word);
      fc.assert(
        fc.property(
          fc.array(field, { minLength: 1, maxLength: 6 }),
          code,
          bytes,
          (changes, text, signals) => {
            rewind(text);
            for (const [{ offset, bytes: size }, lo, hi] of changes) {
              machine.svm.vmcb.set(offset & ~3, lo);
              if (size >= 8) machine.svm.vmcb.store((offset & ~3) + 4, hi);
            }
            run(machine, signals);
          },
        ),
        { numRuns: RUNS },
      );
    },
    TIMEOUT,
  );

  it(
    "VMCB: all of it at random, with the intercept of VMRUN",
    () => {
      const machine = new GuestMachine("amd", [0x90, 0xf4]);
      const rewind = rewinder(machine);
      fc.assert(
        fc.property(fc.infiniteStream(fc.integer()), bytes, (stream, signals) => {
          rewind([0x90, 0xf4]);
          for (let offset = 0; offset < 0x700; offset += 4)
            machine.svm.vmcb.store(offset, stream.next().value);
          machine.svm.vmcb.set(VmcbOffset.General2Intercepts, 1);
          run(machine, signals);
        }),
        { numRuns: 60 },
      );
    },
    TIMEOUT,
  );

  it(
    "VMCS: a few fields at random",
    () => {
      const machine = new GuestMachine("intel", [0x90, 0xf4]);
      const rewind = rewinder(machine);
      const writable = VMCS_FIELDS.filter(({ kind }) => kind !== FieldKind.ExitInformation);
      const field = fc.tuple(fc.constantFrom(...writable), word, word);
      fc.assert(
        fc.property(
          fc.array(field, { minLength: 1, maxLength: 4 }),
          code,
          bytes,
          (changes, text, signals) => {
            rewind(text);
            for (const [{ encoding }, lo, hi] of changes) machine.vmx.vmcs.write(encoding, lo, hi);
            run(machine, signals);
          },
        ),
        { numRuns: RUNS },
      );
    },
    TIMEOUT,
  );
});

describe("random code under random intercepts", () => {
  it(
    "SVM",
    () => {
      const machine = new GuestMachine("amd", [0x90]);
      const rewind = rewinder(machine);
      fc.assert(
        fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), code, bytes, (vectors, text, signals) => {
          rewind(text);
          vectors.forEach((vector, i) => {
            machine.svm.vmcb.set(4 * i, i === 4 ? vector | 1 : vector);
          });
          run(machine, signals);
        }),
        { numRuns: RUNS },
      );
    },
    TIMEOUT,
  );

  it(
    "VMX",
    () => {
      const machine = new GuestMachine("intel", [0x90]);
      const rewind = rewinder(machine);
      const { vmcs } = machine.vmx;
      const fields = [
        VmcsField.PinBasedControls,
        VmcsField.PrimaryControls,
        VmcsField.SecondaryControls,
      ] as const;
      const settings = fields.map((field) => vmcs.read(field));
      const may = [0xff & ~0x80, 0xfdf9fffe | 0, 0x14ee];
      fc.assert(
        fc.property(fc.array(word, { minLength: 4, maxLength: 4 }), code, bytes, (more, text, signals) => {
          rewind(text);
          fields.forEach((field, i) => {
            vmcs.write(field, settings[i] | (more[i] & may[i]));
          });
          vmcs.write(VmcsField.ExceptionBitmap, more[3]);
          vmcs.write(VmcsField.PreemptionTimer, more[3] & 0xff);
          run(machine, signals);
        }),
        { numRuns: RUNS },
      );
    },
    TIMEOUT,
  );
});
