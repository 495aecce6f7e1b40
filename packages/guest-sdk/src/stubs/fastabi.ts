import type { OperationDescriptor, OperationField } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import { physicalAddress } from "../assembler/label.js";
import { type Register, r8, r9, r10, r11, r12, rax, rdi, resized, rsi } from "../assembler/register.js";
import { GuestSourceError } from "../guest-source-error.js";
import type { Operand, StubEmitter, Vendor } from "./stub-emitter.js";

/** Added to the hypercall number. */
export const FASTABI_BIT = 0x40000000;
/** FastABI's registers by their number in the descriptions, 0 to 7. */
const REGISTERS: readonly Register[] = [rax, rdi, rsi, r8, r9, r10, r11, r12];

/** All values in registers, and the vendor's instruction inline: no hypercall page, no memory. */
export function fastabiStubs(vendor: Vendor): StubEmitter {
  function emitCall(
    a: Assembler,
    operation: OperationDescriptor,
    inputs: readonly (Operand | undefined)[],
  ): void {
    if (operation.traditionalOnly)
      throw new GuestSourceError("UNSUPPORTED_BY_ABI", `${operation.name}: FastABI does not dispatch it`);
    a.mov(rax, FASTABI_BIT | operation.hypercall);
    a.mov(rdi, operation.subop);
    operation.inputs.forEach((field, i) => {
      const value = inputs[i];
      if (field.register > 0) a.mov(REGISTERS[field.register], value ?? field.implied ?? 0);
      else if (value !== undefined)
        throw new GuestSourceError(
          "UNSUPPORTED_BY_ABI",
          `${operation.name}: FastABI does not carry ${field.name}`,
        );
    });
    a.plain(vendor === "amd" ? "vmmcall" : "vmcall");
  }

  function emitOutput(
    a: Assembler,
    operation: OperationDescriptor,
    field: OperationField,
    to: Register,
  ): void {
    if (field.register === 0)
      throw new GuestSourceError(
        "UNSUPPORTED_BY_ABI",
        `${operation.name}: FastABI does not return ${field.name}`,
      );
    const from = REGISTERS[field.register];
    if (field.bytes === 8) a.mov(to, from);
    else if (field.signed)
      a.movsx(to, resized(from, (field.bytes * 8) as 8 | 16 | 32), (field.bytes * 8) as 8 | 16 | 32);
    else if (field.bytes === 4) a.mov(resized(to, 32), resized(from, 32));
    else a.movzx(resized(to, 32), resized(from, (field.bytes * 8) as 8 | 16), (field.bytes * 8) as 8 | 16);
  }

  return {
    abi: "fastabi",
    pointers: "physical",
    emitCall,
    emitEntry: (_, operation) => {
      throw new GuestSourceError("UNSUPPORTED_BY_ABI", `${operation.name}: FastABI has no multicalls`);
    },
    addressOf: (buffer) => physicalAddress(buffer),
    emitOutput,
  };
}
