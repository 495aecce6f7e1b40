import { Errno } from "../errno.js";
import { RUNSTATE_UPDATE_FLAG } from "../guest-areas.js";
import type { Stage } from "../path-cost/stage.js";
import { VM_ASSIST_SET, VM_ASSIST_SET_IN, VMASST_CMD_DISABLE, VMASST_CMD_ENABLE } from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

const DO_VM_ASSIST: Stage = {
  name: "do_vm_assist",
  phase: "operation",
  instructions: 35,
  basis: "estimate",
  source: "read in source: the mask of the domain's kind, a switch, one bit operation",
  range: [20, 70],
  coldBranches: 4,
  atomics: 1,
  touches: [{ object: "domain", offsets: [0x300], write: true }],
};

/** HYPERVISOR_vm_assist: the type is looked at before the command; HVM domains have one (HVM_VM_ASSIST_MASK). */
export const set: Operation = {
  descriptor: VM_ASSIST_SET,
  stage: DO_VM_ASSIST,
  rare: true,
  handle: ({ inputs, domain }) => {
    if (inputs[VM_ASSIST_SET_IN.type] !== RUNSTATE_UPDATE_FLAG) return -Errno.EINVAL;
    const bit = 1 << RUNSTATE_UPDATE_FLAG;
    switch (inputs[VM_ASSIST_SET_IN.cmd]) {
      case VMASST_CMD_ENABLE:
        domain.vmAssist |= bit;
        return 0;
      case VMASST_CMD_DISABLE:
        domain.vmAssist &= ~bit;
        return 0;
      default:
        return -Errno.ENOSYS;
    }
  },
};
