import type { Doorbell } from "../devices/doorbell.js";
import { DOORBELL_GFN } from "../devices/doorbell.js";
import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import { DOORBELL_MMIO_WRITE, DOORBELL_NOTIFY } from "../path-cost/stages/doorbell.js";
import type { Operation, OperationDescriptor, OperationField } from "./operation.js";

/** Hypercall of a domain with a doorbell: neither Xen nor KVM has it. */
export const DOORBELL_HYPERCALL = 100;
const PAGE_BYTES = 4096;

function argument(name: string, bytes: 4 | 8, register: number): OperationField {
  return { name, bytes, signed: false, register, offset: -1 };
}

/** Writes `value` to a register of the doorbell: what is bound to the hypercall is found by number. */
export const DOORBELL_NOTIFY_DESCRIPTOR: OperationDescriptor = {
  name: "doorbell.notify",
  hypercall: DOORBELL_HYPERCALL,
  subop: 0,
  inputs: [argument("register", 4, 2), argument("value", 4, 3)],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/**
 * "MMIO over hypercall": a write of four bytes to a guest-physical address, as a store there would do it, without the
 * fault. Address 0 asks whether there is such a hypercall.
 */
export const DOORBELL_MMIO_WRITE_DESCRIPTOR: OperationDescriptor = {
  ...DOORBELL_NOTIFY_DESCRIPTOR,
  name: "doorbell.mmio_write",
  subop: 1,
  inputs: [argument("address", 8, 2), argument("value", 4, 3)],
};

/** One of the doorbell's hypercalls, whoever serves it. */
export interface DoorbellCall {
  readonly descriptor: OperationDescriptor;
  readonly stage: Stage;
  /** @param lo of the first argument, a register or an address @returns the call's result */
  readonly ring: (doorbell: Doorbell, lo: number, hi: number, value: number) => number;
}

/** All of them. */
export const DOORBELL_CALLS: readonly DoorbellCall[] = [
  {
    descriptor: DOORBELL_NOTIFY_DESCRIPTOR,
    stage: DOORBELL_NOTIFY,
    ring: (doorbell, lo, _hi, value) => {
      doorbell.store(lo >>> 0, 4, value);
      return 0;
    },
  },
  { descriptor: DOORBELL_MMIO_WRITE_DESCRIPTOR, stage: DOORBELL_MMIO_WRITE, ring: writeDoorbell },
];

/** The hypercalls of a domain with this doorbell. */
export function doorbellOperations(doorbell: Doorbell): readonly Operation[] {
  return DOORBELL_CALLS.map(({ descriptor, stage, ring }) => ({
    descriptor,
    stage,
    handle: ({ inputs }) => ring(doorbell, inputs[0], inputs[1], inputs[2]),
  }));
}

/** A write to a guest-physical address, low and high word. @returns 0, or -EINVAL where no doorbell is */
function writeDoorbell(doorbell: Doorbell, lo: number, hi: number, value: number): number {
  if ((lo | hi) === 0) return 0;
  const gfn = (lo >>> 12) + (hi >>> 0) * 0x100000;
  if (gfn !== DOORBELL_GFN) return -Errno.EINVAL;
  doorbell.store(lo & (PAGE_BYTES - 1), 4, value);
  return 0;
}
