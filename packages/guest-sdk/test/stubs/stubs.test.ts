import {
  type AbiName,
  Assembler,
  descriptorOf,
  fastabiStubs,
  GuestSourceError,
  Label,
  type OperationName,
  type StubEmitter,
  type StubMemory,
  traditionalStubs,
  type Vendor,
} from "@hyperwalk/guest-sdk";
import { DESCRIPTORS, type OperationDescriptor } from "@hyperwalk/xen";
import {
  Decoder,
  DecoderOptions,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  Register,
  RegisterExt,
} from "iced-x86";
import { describe, expect, it } from "vitest";

const ORIGIN = { physical: 0x200000, linear: 0xffffffff80200000n };
const TRADITIONAL = ["rdi", "rsi", "rdx", "r10", "r8"];
const FASTABI = ["rax", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12"];

interface Emitted {
  /** Full-width registers that instructions of the stub write, the hypercall itself aside. */
  readonly written: ReadonlySet<string>;
  readonly mnemonics: readonly string[];
  /** Distance of the CALL's target into the hypercall page. */
  readonly callTarget: number | undefined;
  /** Struct bytes stored, as [offset, length]. */
  readonly stores: readonly (readonly [number, number])[];
}

function emit(
  stubs: (memory: StubMemory) => StubEmitter,
  operation: OperationDescriptor,
  inputs: readonly (number | undefined)[],
): Emitted {
  const a = new Assembler(ORIGIN);
  const hypercallPage = new Label("page");
  const struct = new Label("struct");
  stubs({ hypercallPage, structFor: () => struct }).emitCall(a, operation, inputs);
  const codeBytes = a.offset;
  a.align(4096);
  a.bind(hypercallPage);
  a.zeros(4096);
  a.bind(struct);
  const code = a.link().slice(0, codeBytes);

  const decoder = new Decoder(64, code, DecoderOptions.None);
  const info = new InstructionInfoFactory();
  const written = new Set<string>();
  const mnemonics: string[] = [];
  const stores: [number, number][] = [];
  let callTarget: number | undefined;
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    const name = Mnemonic[instruction.mnemonic].toLowerCase();
    mnemonics.push(name);
    if (name === "call") callTarget = Number(instruction.nearBranchTarget) - hypercallPage.offset!;
    if (["call", "vmcall", "vmmcall"].includes(name)) continue;
    const used = info.info(instruction);
    for (const r of used.usedRegisters())
      if (r.access !== OpAccess.Read)
        written.add(Register[RegisterExt.fullRegister(r.register)].toLowerCase());
    if (instruction.isIpRelMemoryOperand) {
      const length = used.usedMemory().reduce((sum, m) => sum + sizeOf(m.memorySize), 0);
      stores.push([Number(instruction.ipRelMemoryAddress) - struct.offset!, length]);
    }
  }
  return { written, mnemonics, callTarget, stores };
}

const sizeOf = (memorySize: number): number =>
  ({ 1: 1, 2: 2, 3: 4, 5: 8, 9: 1, 10: 2, 11: 4, 12: 8 })[memorySize] ?? Number.NaN;

/** Values for all inputs that stubs ask for; 64-bit ones do not fit a sign-extended constant. */
function inputsOf(operation: OperationDescriptor, abi: AbiName): (number | undefined)[] {
  return operation.inputs.map((field, i) => {
    if (field.implied !== undefined) return undefined;
    if (abi === "fastabi" ? field.register === 0 : field.offset === -2) return undefined;
    return field.bytes === 8 ? 2 ** 40 + i : i + 1;
  });
}

describe.each(["linear", "physaddr", "percall"] as const)("%s stubs", (abi) => {
  it.each(DESCRIPTORS.map((d) => [d.name, d] as const))("%s", (_, operation) => {
    const { written, callTarget, mnemonics, stores } = emit(
      (m) => traditionalStubs(abi, m),
      operation,
      inputsOf(operation, abi),
    );
    const inRegisters = operation.inputs.filter(({ offset }) => offset === -1).length;
    const expected = TRADITIONAL.slice(
      0,
      (operation.plain ? 0 : 1) + inRegisters + (operation.struct ? 1 : 0) + (operation.array ? 1 : 0),
    );
    expect([...written].filter((r) => r !== "rax").sort()).toEqual([...expected].sort());
    expect(callTarget).toBe(operation.hypercall * 32);
    expect(mnemonics.filter((m) => m === "vmcall" || m === "vmmcall")).toEqual([]);
    const fields = operation.inputs
      .filter(({ offset }) => offset >= 0)
      .map(({ offset, bytes }) => [offset, bytes]);
    expect(stores).toEqual(fields);
  });
});

describe.each([
  ["amd", "vmmcall"],
  ["intel", "vmcall"],
] as const)("FastABI stubs on %s", (vendor: Vendor, instruction) => {
  it.each(DESCRIPTORS.map((d) => [d.name, d] as const))("%s", (_, operation) => {
    if (operation.traditionalOnly) {
      expect(() => emit(() => fastabiStubs(vendor), operation, [])).toThrow(GuestSourceError);
      return;
    }
    const { written, mnemonics, stores } = emit(
      () => fastabiStubs(vendor),
      operation,
      inputsOf(operation, "fastabi"),
    );
    const numbers = operation.inputs.map(({ register }) => register).filter((r) => r > 0);
    const expected = new Set([0, 1, ...numbers].map((r) => FASTABI[r]));
    expect(written).toEqual(expected);
    expect(mnemonics.at(-1)).toBe(instruction);
    expect(mnemonics).not.toContain("call");
    expect(stores).toEqual([]);
  });
});

describe("what an interface cannot carry", () => {
  const inputs = (name: OperationName, given: Record<string, number>): (number | undefined)[] =>
    descriptorOf(name).inputs.map((field) => given[field.name]);

  it("is refused by name", () => {
    expect(() =>
      emit(
        (m) => traditionalStubs("linear", m),
        descriptorOf("sched.poll"),
        inputs("sched.poll", { port: 3 }),
      ),
    ).toThrow(/sched.poll: only FastABI carries port/);
    expect(() => emit(() => fastabiStubs("amd"), descriptorOf("console_io.write"), [])).toThrow(
      /console_io.write/,
    );
  });
});
