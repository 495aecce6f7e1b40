import type { Assembler } from "../assembler/assembler.js";
import type { Label } from "../assembler/label.js";
import { at } from "../assembler/memory.js";
import { eax, ecx, rax, rdi, rsi } from "../assembler/register.js";
import { descriptorOf } from "../stubs/descriptor-of.js";
import { FASTABI_BIT } from "../stubs/fastabi.js";
import type { AbiName, Vendor } from "../stubs/stub-emitter.js";

/** EAX of the HVM leaf (base + 4): the bit that the RFCs claim, and those of interfaces that nobody else has. */
const INTERFACE_BIT = 0x80;
const OWN_BITS: Partial<Readonly<Record<AbiName, number>>> = {
  "sg-frames": 1 << 8,
  "sg-tuples": 1 << 9,
  "sg-descriptor": 1 << 10,
  registered: 1 << 11,
};
const ENOSYS = 38;

/**
 * Jumps to `mismatch` when the domain does not have the interface that the guest was built for: a physaddr guest would
 * run on a linear domain too, its low memory being mapped one to one, and measure the wrong thing. A version call that
 * carries bit 30 is answered by FastABI and where each call has its flavour; the latter has a second hypercall page, without
 * which its guests do not get here. A linear guest needs no check: it fails at its first struct, or works. Expects the base of Xen's CPUID leaves in RSI.
 */
export function emitCheckInterface(a: Assembler, abi: AbiName, vendor: Vendor, mismatch: Label): void {
  if (abi === "linear") return;
  const version = descriptorOf("version.version");
  a.lea(eax, at(rsi, 4));
  a.mov(ecx, 0);
  a.plain("cpuid");
  const own = OWN_BITS[abi];
  a.test(eax, own ?? INTERFACE_BIT);
  a.jcc("e", mismatch);
  if (own !== undefined) return;
  a.mov(rax, FASTABI_BIT | version.hypercall);
  a.mov(rdi, version.subop);
  a.plain(vendor === "amd" ? "vmmcall" : "vmcall");
  a.alu("cmp", rax, -ENOSYS);
  a.jcc(abi === "physaddr" ? "ne" : "e", mismatch);
}
