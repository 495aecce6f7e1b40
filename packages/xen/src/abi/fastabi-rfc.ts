import { Errno } from "../errno.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import {
  EVENT_CHANNEL_STATUS,
  EVTCHNSTAT_CLOSED,
  EVTCHNSTAT_INTERDOMAIN,
  EVTCHNSTAT_IPI,
  GRANT_TABLE_MAP_GRANT_REF,
  GRANT_TABLE_UNMAP_GRANT_REF,
  MEMORY_MEMORY_MAP,
  SCHED_POLL,
  SCHED_POLL_IN,
  VCPU_DOWN,
  VCPU_DOWN_IN,
  VCPU_INITIALISE,
} from "../operations/descriptors.gen.js";
import { loadContext } from "../operations/hvm-context.js";
import type { Operation, OperationCall, OperationDescriptor } from "../operations/operation.js";
import type { PathCost } from "../path-cost/path-cost.js";
import { FASTABI_MASK, FastAbi } from "./fastabi.js";

const RDI = 7;
const R11 = 11;
const R12 = 12;
/** Bytes of a `vcpu_hvm_context`. */
const CONTEXT_BYTES = 128;

/**
 * FastABI as the code of the RFC (patch 7 of 9) has it, where that is not what its document says:
 *
 * - A call that makes room is reported as done: it never goes on, and rax still has the hypercall's number.
 * - `initialise` takes the register of the vCPU's number for a linear pointer to the context, and ignores the frame.
 * - `down` counts the vCPU itself among those that are up, so that the last one does not end the domain.
 * - `map_grant_ref` and `unmap_grant_ref` are not there.
 * - `memory_map` does not say how many entries it wrote, and its result is never set; here -EFAULT, which is what compilers make
 *   of a variable whose only other value is that.
 * - `poll` polls its port also where that is 0.
 * - `status` leaves registers alone for which the port's state has no value.
 */
export class RfcFastAbi extends FastAbi {
  /** @param physical @param linear guest memory by the two kinds of address */
  constructor(
    operations: readonly Operation[],
    registers: GuestRegisters,
    physical: GuestAccess,
    linear: GuestAccess,
    cost: PathCost,
  ) {
    super(
      operations
        .filter(({ descriptor }) => !ABSENT.includes(descriptor))
        .map((each) => asInRfc(each, linear)),
      registers,
      physical,
      cost,
    );
  }

  override invoke(operation: Operation, call: OperationCall): number {
    const { registers } = this;
    const { descriptor } = operation;
    const r11 = registers.lo(R11);
    const r11Hi = registers.hi(R11);
    const r12 = registers.lo(R12);
    const r12Hi = registers.hi(R12);
    const result = super.invoke(operation, call);
    const { continuation } = call;
    if (continuation.pending) {
      continuation.pending = false;
      registers.set(RDI, continuation.lo[0], continuation.hi[0]);
      return FASTABI_MASK | descriptor.hypercall;
    }
    if (descriptor !== EVENT_CHANNEL_STATUS || result !== 0) return result;
    const status = registers.lo(STATUS_REGISTER);
    if (status === EVTCHNSTAT_CLOSED || status === EVTCHNSTAT_IPI) registers.set(R11, r11, r11Hi);
    if (status !== EVTCHNSTAT_INTERDOMAIN) registers.set(R12, r12, r12Hi);
    return result;
  }
}

/** reg4. */
const STATUS_REGISTER = 9;

const ABSENT: readonly OperationDescriptor[] = [GRANT_TABLE_MAP_GRANT_REF, GRANT_TABLE_UNMAP_GRANT_REF];

function asInRfc(operation: Operation, linear: GuestAccess): Operation {
  const { descriptor } = operation;
  switch (descriptor) {
    case VCPU_INITIALISE:
      return initialiseByHandle(operation, linear);
    case VCPU_DOWN:
      return { ...operation, handle: down };
    case MEMORY_MEMORY_MAP:
      return {
        ...operation,
        descriptor: { ...descriptor, outputs: [] },
        handle: (call) => {
          operation.handle(call);
          return -Errno.EFAULT;
        },
      };
    case SCHED_POLL:
      return {
        ...operation,
        handle: (call) =>
          call.inputs[SCHED_POLL_IN.port] === 0 && !call.domain.eventChannels.events.hasUpcall(call.vcpu.id)
            ? -Errno.EINVAL
            : operation.handle(call),
      };
    default:
      return operation;
  }
}

/** The pointer is the whole register; its low half is the vCPU's number, too. */
function initialiseByHandle(operation: Operation, linear: GuestAccess): Operation {
  const { descriptor } = operation;
  const [vcpuid] = descriptor.inputs;
  return {
    ...operation,
    descriptor: { ...descriptor, inputs: [{ ...vcpuid, bytes: 8 }] },
    handle: ({ inputs, domain }) => {
      const vcpu = domain.vcpus[inputs[0]];
      if (vcpu === undefined) return -Errno.ENOENT;
      if (linear.copyFromGuest(inputs[0], inputs[1], CONTEXT_BYTES) !== 0) return -Errno.EFAULT;
      return loadContext(vcpu, linear.buffer);
    },
  };
}

function down({ inputs, domain, cost }: OperationCall): number {
  const vcpu = domain.vcpus[inputs[VCPU_DOWN_IN.vcpuid]];
  if (vcpu === undefined) return -Errno.ENOENT;
  if (vcpu.down) return 0;
  vcpu.down = true;
  vcpu.runner.kick(cost);
  return 0;
}
