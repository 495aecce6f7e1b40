import { REGISTER_BUFFER, REGISTER_BUFFER_DESCRIPTORS } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import type { Label } from "../assembler/label.js";
import { r10, rdi, rdx, rsi } from "../assembler/register.js";
import { IMAGE_LINEAR } from "../image/pvh-image.js";

const HYPERCALL_STUB_BYTES = 32;
/** More than any image of this package takes; what lies behind one is not mapped and never passed. */
const REGISTERED_BYTES = 2 ** 24;

/** Registers the image, with all of the guest's structs and buffers, as one buffer of the vCPU. */
export function emitRegisterImage(a: Assembler, hypercallPage: Label): void {
  a.mov(rdi, REGISTER_BUFFER_DESCRIPTORS.register.subop);
  a.mov(rsi, IMAGE_LINEAR);
  a.mov(rdx, a.origin.physical);
  a.mov(r10, REGISTERED_BYTES);
  a.callOffset(hypercallPage, REGISTER_BUFFER * HYPERCALL_STUB_BYTES);
}
