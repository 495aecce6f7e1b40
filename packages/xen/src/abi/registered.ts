import {
  RegisteredAccess,
  RegisteredBuffers,
  type RegisteredBuffersSnapshot,
} from "../guest-access/registered.js";
import type {
  Operation,
  OperationCall,
  OperationDescriptor,
  OperationField,
} from "../operations/operation.js";
import { wideInput } from "../operations/word-pair.js";
import type { Stage } from "../path-cost/stage.js";
import type { AbiParts, DomainAbi } from "./domain-abi.js";
import { PointerAbi } from "./pointer-abi.js";

/** Hypercall with which a guest registers buffers; ours: a number that Xen has not given out. */
export const REGISTER_BUFFER = 120;
/** Bit of EAX in the HVM leaf, ours too. */
const HVM_CPUID_REGISTERED = 1 << 11;

/** Body of both hypercalls. */
export const REGISTER_UPDATE: Stage = {
  name: "do_register_buffer",
  phase: "operation",
  instructions: 90,
  basis: "estimate",
  source: "no code exists: checks of three values and a loop over a small array of the vCPU",
  range: [50, 200],
  touches: [{ object: "vcpu", offsets: [0x600, 0x640], write: true }],
};

function argument(name: string): OperationField {
  return { name, bytes: 8, signed: false, register: 0, offset: -1 };
}

function describe(name: string, subop: number, inputs: readonly string[]): OperationDescriptor {
  return {
    name: `register_buffer.${name}`,
    hypercall: REGISTER_BUFFER,
    subop,
    inputs: inputs.map(argument),
    outputs: [],
    struct: undefined,
    copyIn: 0,
    copyOut: 0,
    traditionalOnly: true,
  };
}

/** The operations of {@link REGISTER_BUFFER}: all values in registers. */
export const REGISTER_BUFFER_DESCRIPTORS: Readonly<
  Record<"register" | "unregister" | "clear", OperationDescriptor>
> = {
  register: describe("register", 0, ["linear", "physical", "size"]),
  unregister: describe("unregister", 1, ["linear"]),
  clear: describe("clear", 2, []),
};

function operationsOn(buffers: RegisteredBuffers): readonly Operation[] {
  const { register, unregister, clear } = REGISTER_BUFFER_DESCRIPTORS;
  return [
    {
      descriptor: register,
      stage: REGISTER_UPDATE,
      handle: (call) =>
        buffers.register(
          call.inputs[0],
          call.inputs[1],
          wideInput(call.inputs, 2),
          wideInput(call.inputs, 4),
        ),
    },
    {
      descriptor: unregister,
      stage: REGISTER_UPDATE,
      handle: ({ inputs }) => buffers.unregister(inputs[0], inputs[1]),
    },
    {
      descriptor: clear,
      stage: REGISTER_UPDATE,
      handle: () => {
        buffers.clear();
        return 0;
      },
    },
  ];
}

/** Linear pointers, looked up among the vCPU's registered buffers before a walk. */
export class RegisteredAbi extends PointerAbi {
  readonly id = "registered";
  private readonly buffers: RegisteredBuffers;

  constructor(parts: AbiParts, buffers: RegisteredBuffers) {
    const { operations, registers, linear, physical, cost } = parts;
    const access = new RegisteredAccess(buffers, linear, physical, cost);
    super([...operations, ...operationsOn(buffers)], registers, access, cost);
    this.buffers = buffers;
  }

  override invoke(operation: Operation, call: OperationCall): number {
    return this.invokeWithOwnAccess(operation, call);
  }

  snapshot(): RegisteredBuffersSnapshot {
    return this.buffers.snapshot();
  }

  restore(snapshot: RegisteredBuffersSnapshot): void {
    this.buffers.restore(snapshot);
  }
}

/**
 * The "software TLB" of the thread of September 2022 (Groß): pointers stay linear, and a vCPU tells Xen once where buffers of
 * its lie: linear address, physical address, size. Pointers into them are looked up instead of walked; others are walked as
 * before. Xen does not look whether the guest's tables still say the same: who changes them unregisters first.
 */
export function registered(): DomainAbi {
  return {
    name: "registered",
    pointers: "linear",
    cpuidFeatures: HVM_CPUID_REGISTERED,
    make: (parts) => [new RegisteredAbi(parts, new RegisteredBuffers())],
  };
}
