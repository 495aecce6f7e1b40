import { State } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { FASTABI_MASK, FastAbi } from "../src/abi/fastabi.ts";
import { LinearAbi } from "../src/abi/linear.ts";
import { Continuation } from "../src/continuation.ts";
import { Errno } from "../src/errno.ts";
import type { GuestAccess } from "../src/guest-access/guest-access.ts";
import type { Operation, OperationCall, OperationDescriptor } from "../src/operations/operation.ts";
import type { Stage } from "../src/path-cost/stage.ts";
import { HypervisorBench } from "./hypervisor-bench.ts";

const RAX = 0;
const RDX = 2;
const RSI = 6;
const RDI = 7;
const R8 = 8;
const STAGE: Stage = {
  name: "nothing",
  phase: "operation",
  instructions: 1,
  basis: "derived",
  source: "test",
};

const DESCRIPTOR: OperationDescriptor = {
  name: "test.swap",
  hypercall: 24,
  subop: 4,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "small", bytes: 2, signed: true, register: 3, offset: 0 },
    { name: "hidden", bytes: 4, signed: false, register: 4, offset: -2 },
    { name: "assumed", bytes: 4, signed: false, register: 0, offset: 4, implied: 9 },
  ],
  outputs: [
    { name: "wide", bytes: 8, signed: false, register: 3, offset: 8 },
    { name: "narrow", bytes: 2, signed: true, register: 4, offset: 16 },
  ],
  struct: { name: "test_swap", bytes: 24 },
  copyIn: 24,
  copyOut: 24,
};

/** Guest access over a plain array; everything from 0x1000 on is a bad address. */
class ArrayAccess implements GuestAccess {
  readonly id = "linear";
  readonly buffer = new DataView(new ArrayBuffer(256));
  readonly guest = new Uint8Array(0x1000);
  copyFromGuest(lo: number, hi: number, bytes: number): number {
    if (hi !== 0 || lo < 0 || lo + bytes > this.guest.length) return -Errno.EFAULT;
    new Uint8Array(this.buffer.buffer).set(this.guest.subarray(lo, lo + bytes));
    return 0;
  }
  copyToGuest(lo: number, hi: number, bytes: number): number {
    if (hi !== 0 || lo < 0 || lo + bytes > this.guest.length) return -Errno.EFAULT;
    this.guest.set(new Uint8Array(this.buffer.buffer, 0, bytes), lo);
    return 0;
  }
}

function bench(handle: Operation["handle"], descriptor: OperationDescriptor = DESCRIPTOR) {
  const machine = new HypervisorBench();
  const { registers, cost } = machine;
  machine.setControl((1 << 31) | 1, 0, 0x20, 0xd00);
  registers.words[State.Segments + 8 + 1] = 0xa09b; // 64-bit code
  const access = new ArrayAccess();
  const call = {
    inputs: new Int32Array(64),
    outputs: new Int32Array(64),
    continuation: new Continuation(),
  } as unknown as OperationCall;
  const operation: Operation = { descriptor, stage: STAGE, handle };
  const linear = new LinearAbi([operation], registers, access, cost);
  const fast = new FastAbi([operation], registers, access, cost);
  const invoke = (abi: LinearAbi | FastAbi, number: number) => {
    const found = abi.decode(number);
    return found === undefined ? -Errno.ENOSYS : abi.invoke(found, call);
  };
  return { registers, access, call, linear, fast, invoke };
}

describe("the pointer interfaces", () => {
  it("take register parameters after the sub-operation, then the struct's pointer", () => {
    let seen: number[] = [];
    const { registers, access, linear, invoke } = bench((call) => {
      seen = [...call.inputs.subarray(0, 8)];
      call.outputs[0] = 0x11223344;
      call.outputs[1] = 0x55667788;
      call.outputs[2] = -2;
      return 3;
    });
    registers.set(RDI, 4, 0);
    registers.set(RSI, 77, 1); // upper half of a 32-bit parameter does not count
    registers.set(RDX, 0x100, 0);
    access.guest.set([0xff, 0xff, 1, 2, 5, 0, 0, 0], 0x100);
    expect(invoke(linear, 24)).toBe(3);
    expect(seen).toEqual([77, 0, -1, -1, 0, 0, 5, 0]);
    expect([...access.guest.subarray(0x100, 0x118)]).toEqual([
      0xff, 0xff, 0, 0, 5, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 0xfe, 0xff, 0, 0, 0, 0, 0,
      0,
    ]);
  });

  it("answer -EFAULT for a bad pointer, before the operation and after it", () => {
    let ran = 0;
    const handle = () => {
      ran++;
      return 0;
    };
    const both = bench(handle);
    both.registers.set(RDI, 4, 0);
    both.registers.set(RDX, 0x1000, 0);
    expect(both.invoke(both.linear, 24)).toBe(-Errno.EFAULT);
    expect(ran).toBe(0);
    const out = bench(handle, { ...DESCRIPTOR, copyIn: 0 });
    out.registers.set(RDI, 4, 0);
    out.registers.set(RDX, 0xff0, 0);
    expect(out.invoke(out.linear, 24)).toBe(-Errno.EFAULT);
    expect(ran).toBe(1);
  });

  it("copy nothing out when the operation failed", () => {
    const { registers, access, linear, invoke } = bench(() => -Errno.EINVAL);
    registers.set(RDI, 4, 0);
    registers.set(RDX, 0x100, 0);
    access.guest.fill(0xaa);
    expect(invoke(linear, 24)).toBe(-Errno.EINVAL);
    expect(access.guest.every((byte) => byte === 0xaa)).toBe(true);
  });

  it("know no other numbers, sub-operations or bits", () => {
    const { registers, linear, invoke } = bench(() => 0);
    registers.set(RDI, 4, 0);
    expect(invoke(linear, 25)).toBe(-Errno.ENOSYS);
    expect(invoke(linear, 1000)).toBe(-Errno.ENOSYS);
    registers.set(RDI, -4, 0);
    expect(invoke(linear, 24)).toBe(-Errno.ENOSYS);
    expect(linear.claims(24)).toBe(true);
    expect(linear.claims(24 | FASTABI_MASK)).toBe(false);
  });

  it("take ebx, ecx, edx, esi, edi from a 32-bit caller", () => {
    let seen = 0;
    const descriptor = { ...DESCRIPTOR, inputs: [DESCRIPTOR.inputs[0]], outputs: [], copyIn: 0, copyOut: 0 };
    const { registers, linear, invoke } = bench((call) => {
      seen = call.inputs[0];
      return 0;
    }, descriptor);
    registers.words[State.EferLo] = 0;
    registers.words[State.Segments + 8 + 1] = 0xc09b;
    registers.set(3, 4, 0); // ebx
    registers.set(1, 1234, 0); // ecx
    expect(invoke(linear, 24)).toBe(0);
    expect(seen).toBe(1234);
  });
});

describe("FastABI", () => {
  it("takes inputs from registers and implied values, and writes only declared outputs", () => {
    let seen: number[] = [];
    const { registers, fast, invoke } = bench((call) => {
      seen = [...call.inputs.subarray(0, 8)];
      call.outputs[0] = 1;
      call.outputs[1] = 2;
      call.outputs[2] = -3;
      return 0;
    });
    for (let r = 0; r < 16; r++) registers.set(r, 1000 + r, 2000 + r);
    registers.set(RAX, 24 | FASTABI_MASK, 0);
    registers.set(RDI, 4, 0);
    registers.set(R8, 0x18001, 0); // 16 bits, signed
    expect(invoke(fast, 24 | FASTABI_MASK)).toBe(0);
    expect(seen).toEqual([1006, 0, -32767, -1, 1009, 0, 9, 0]);
    expect([registers.lo(R8), registers.hi(R8)]).toEqual([1, 2]);
    expect([registers.lo(9), registers.hi(9)]).toEqual([-3, -1]);
    for (const r of [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15])
      expect([registers.lo(r), registers.hi(r)]).toEqual([1000 + r, 2000 + r]);
  });

  it("leaves every register alone when the operation fails", () => {
    const { registers, fast, invoke } = bench(() => -Errno.EINVAL);
    for (let r = 0; r < 16; r++) registers.set(r, 1000 + r, 2000 + r);
    registers.set(RDI, 4, 0);
    expect(invoke(fast, 24 | FASTABI_MASK)).toBe(-Errno.EINVAL);
    expect([registers.lo(R8), registers.hi(R8)]).toEqual([1008, 2008]);
  });

  it("does not know traditional-only operations", () => {
    const { registers, fast, invoke } = bench(() => 0, { ...DESCRIPTOR, traditionalOnly: true });
    registers.set(RDI, 4, 0);
    expect(invoke(fast, 24 | FASTABI_MASK)).toBe(-Errno.ENOSYS);
  });
});
