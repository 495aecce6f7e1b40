import { FieldKind, VirtualizationError, VMCB_FIELDS, VMCS_FIELDS, VmcbOffset } from "@hyperwalk/cpu";
import { CODE, GuestMachine } from "../../packages/cpu/test/svm/guest-machine.js";
import { checkProcessor } from "./checks.js";
import { randomCode } from "./code.js";
import type { FuzzKind } from "./fuzz-kind.js";
import type { Random } from "./random.js";

const ENTRIES = 12;
const BUDGET = 500;
const FIRST_GUEST_FRAME = 1024;
/** Machine frames of the second stage's tables: after the host's two. */
const SECOND_STAGE = 3;
const SECOND_STAGE_FRAMES = 4;
/** Guest frames of the guest's own tables. */
const GUEST_TABLES = 0x10;

/** Random fields of a VMCB or VMCS, then VM entry. */
export const controlStructures: FuzzKind = {
  name: "VMCB and VMCS",
  typed: [VirtualizationError],
  run: (random) => {
    const machine = new GuestMachine(random.oneIn(2) ? "amd" : "intel", [0x90, 0xf4]);
    enterAgain(machine, random, () => spoilControls(machine, random));
  },
};

/** Random entries in nested or extended page tables and in the guest's own. */
export const nestedTables: FuzzKind = {
  name: "nested tables",
  typed: [VirtualizationError],
  run: (random) => {
    const machine = new GuestMachine(random.oneIn(2) ? "amd" : "intel", [0x90, 0xf4]);
    enterAgain(machine, random, () => {
      for (let i = random.below(8); i >= 0; i--) {
        const second = random.oneIn(2);
        const frame = second
          ? SECOND_STAGE + random.below(SECOND_STAGE_FRAMES)
          : FIRST_GUEST_FRAME + GUEST_TABLES + random.below(4);
        const address = frame * 4096 + 8 * random.below(random.oneIn(2) ? 8 : 512);
        const { memory } = machine.processor;
        const flags = (random.word() & 0xfff) | (random.oneIn(4) ? 0 : 7);
        const to = second && random.oneIn(2) ? FIRST_GUEST_FRAME + random.below(512) : random.below(2048);
        memory.writeU32(address, ((to << 12) | flags) >>> 0);
        memory.writeU32(address + 4, random.oneIn(4) ? random.word() >>> 0 : 0);
      }
      if (random.oneIn(4)) machine.processor.mmu.invalidateAll();
      machine.write(CODE, randomCode(random, 64));
    });
  },
};

function enterAgain(machine: GuestMachine, random: Random, change: () => void): void {
  const { hardware, processor } = machine;
  for (let i = 0; i < ENTRIES; i++) {
    if (i === 0 || random.oneIn(2)) change();
    const signal = random.below(8);
    if (signal === 1) hardware.raiseInterrupt(0x20 + random.below(200));
    if (signal === 2) hardware.raiseNmi();
    if (signal === 3) hardware.raiseInit();
    const before = processor.engine.instructions;
    hardware.enter(BUDGET, processor.ledger.clock[0] + 1e8);
    checkProcessor(processor, processor.engine.instructions - before, BUDGET);
  }
}

const WRITABLE = VMCS_FIELDS.filter(({ kind }) => kind !== FieldKind.ExitInformation);

function spoilControls(machine: GuestMachine, random: Random): void {
  machine.write(CODE, randomCode(random, 64));
  const { hardware } = machine;
  if (hardware.vendor === "intel") {
    for (let i = random.below(4); i >= 0; i--)
      machine.vmx.vmcs.write(
        random.pick(WRITABLE).encoding,
        random.value(),
        random.oneIn(2) ? 0 : random.word(),
      );
    return;
  }
  const { vmcb } = machine.svm;
  if (random.oneIn(8)) {
    for (let offset = 0; offset < 0x700; offset += 4) vmcb.store(offset, random.word());
    vmcb.set(VmcbOffset.General2Intercepts, random.word() | 1);
    return;
  }
  for (let i = random.below(6); i >= 0; i--) {
    const { offset, bytes } = random.pick(VMCB_FIELDS);
    vmcb.set(offset & ~3, random.value());
    if (bytes >= 8) vmcb.store((offset & ~3) + 4, random.oneIn(2) ? 0 : random.word());
  }
}
