import type { ConfidentialKind, OperationDescriptor, OperationField } from "@hyperwalk/xen";
import type { Assembler } from "./assembler/assembler.js";
import { Label, linearAddress, physicalAddress } from "./assembler/label.js";
import { atLabel } from "./assembler/memory.js";
import type { ConditionName } from "./assembler/opcodes.js";
import { eax, ecx, rax, rcx, rdx, rsi } from "./assembler/register.js";
import { GuestSourceError } from "./guest-source-error.js";
import { descriptorOf } from "./stubs/descriptor-of.js";
import { bindHypercallStubs, type HypercallStubs } from "./stubs/operations.gen.js";
import type { AbiName, Operand, StubEmitter, Vendor } from "./stubs/stub-emitter.js";
import { Variable, VariablePool } from "./variable.js";

/** What a guest is built for. */
export interface GuestBuildOptions {
  /** Interface that its hypercalls use; it must be the domain's. */
  readonly abi: AbiName;
  /** Whose processor it runs on: chooses the instruction of inline (FastABI) hypercalls. */
  readonly vendor: Vendor;
  /** Leaf size of the page tables that map the guest's image. Default `4k`. */
  readonly leaf?: "4k" | "2m";
  /**
   * The guest is encrypted, with `sev-es` and `sev-snp` its registers too (AMD alone): pages are private, hypercalls go
   * without a hypercall page, physical pointers through shared memory, and exits through a #VC handler. With `sev-snp` it
   * validates its RAM first, registers its GHCB and has the pages that it shares made so. Default not encrypted.
   */
  readonly confidential?: ConfidentialKind | undefined;
  /**
   * How the guest makes hypercalls: through the page that the hypervisor fills, or by the vendor's instruction in its own
   * text, without asking for a page. FastABI has the latter anyhow, but asks for a page. Inline goes with `linear`,
   * `physaddr` and `fastabi`. Default "page".
   */
  readonly hypercalls?: "page" | "inline" | undefined;
  /** Guest-physical address where the image is loaded: a multiple of 2 MiB below 3 GiB. Default 2 MiB. */
  readonly physical?: number | undefined;
  /** For the guest's own use: how often its measured loop runs. Default {@link DEFAULT_GUEST_ITERATIONS}. */
  readonly iterations?: number;
}

/** Iterations when a build names none. */
export const DEFAULT_GUEST_ITERATIONS = 10000;

/** Zeroed memory of the guest that can be passed to hypercalls; see {@link GuestProgram.buffer}. */
export class GuestBuffer {
  readonly label: Label;
  readonly bytes: number;
  readonly alignment: number;
  constructor(label: Label, bytes: number, alignment: number) {
    this.label = label;
    this.bytes = bytes;
    this.alignment = alignment;
  }
}

/** What a hypercall or a statement takes: a constant (64 bits, two's complement), a variable, a buffer's address. */
export type Value = number | bigint | Variable | GuestBuffer;

/** Labels of the routines that every image of this package has. */
export interface RoutineLabels {
  readonly print: Label;
  readonly flush: Label;
  readonly decimal: Label;
  readonly hex: Label;
  readonly ratio: Label;
}

const SHUTDOWN_POWEROFF = 0;
const LOOP_ALIGNMENT = 16;
const PAGE_BYTES = 4096;
/** `struct multicall_entry` */
const ENTRY_BYTES = 64;

/**
 * What a guest's source writes its program with: every call emits machine code, in the order of the calls.
 * Life cycle: made for one build, used during it, useless afterwards.
 */
export class GuestProgram {
  readonly abi: AbiName;
  readonly vendor: Vendor;
  readonly leaf: "4k" | "2m";
  readonly confidential: ConfidentialKind | undefined;
  readonly iterations: number;
  /** One method for each operation: `g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 })`. */
  readonly hypercall: HypercallStubs<Value, HypercallResult>;
  /** The emitter itself, for instructions that have no method here. Leave RBX, RBP and R13-R15 alone. */
  readonly asm: Assembler;
  /** Counts what has overwritten the registers that hypercall results arrive in. */
  private overwritten = 0;
  private readonly pool = new VariablePool();
  private readonly texts = new Map<string, Label>();
  private readonly buffers: GuestBuffer[] = [];
  /** Parts of buffers, each with its place. */
  private readonly parts = new Map<GuestBuffer, { readonly offset: number; readonly label: Label }[]>();
  private readonly tables: ((a: Assembler) => void)[] = [];
  private readonly structs: Map<string, GuestBuffer>;
  private readonly stubs: StubEmitter;
  private readonly routines: RoutineLabels;

  /** @param structs what {@link useStruct} sets, by operation; the stubs look there */
  constructor(
    options: GuestBuildOptions,
    asm: Assembler,
    stubs: StubEmitter,
    routines: RoutineLabels,
    structs: Map<string, GuestBuffer>,
  ) {
    this.structs = structs;
    this.abi = options.abi;
    this.vendor = options.vendor;
    this.leaf = options.leaf ?? "4k";
    this.confidential = options.confidential;
    if (this.confidential !== undefined && this.vendor !== "amd")
      throw new GuestSourceError(
        "VALUE",
        `confidential ${this.confidential} on ${this.vendor}: SEV is AMD's`,
      );
    this.iterations = options.iterations ?? DEFAULT_GUEST_ITERATIONS;
    if (!Number.isSafeInteger(this.iterations) || this.iterations < 1)
      throw new GuestSourceError("VALUE", `iterations: ${this.iterations} is not a positive integer`);
    this.asm = asm;
    this.stubs = stubs;
    this.routines = routines;
    this.hypercall = bindHypercallStubs((name, inputs) => this.call(descriptorOf(name), inputs));
  }

  /**
   * Calls an operation by its descriptor: what {@link hypercall} does for those that have a method there.
   * @param inputs by name, or in the order of `operation.inputs`; what is left out or `undefined` is the field's implied value, or 0
   * @throws GuestSourceError when the interface cannot carry the operation or one of the values, or for a name that it does not have
   */
  call(
    operation: OperationDescriptor,
    inputs: readonly (Value | undefined)[] | Readonly<Record<string, Value>>,
  ): HypercallResult {
    const operands = inOrder(operation, inputs).map((value, i) =>
      value === undefined ? undefined : this.operand(value, operation.inputs[i]),
    );
    this.overwritten++;
    this.stubs.emitCall(this.asm, operation, operands);
    return new HypercallResult(this, operation, this.overwritten);
  }

  /** A new variable with that value. At most five variables and running loops at a time. */
  variable(value: Value = 0): Variable {
    const variable = this.pool.take();
    this.set(variable, value);
    return variable;
  }

  set(variable: Variable, value: Value): void {
    this.pool.check(variable);
    this.asm.mov(variable.register, this.operand(value));
  }

  /** `variable += value`, modulo 2^64. */
  add(variable: Variable, value: Value): void {
    this.arithmetic("add", variable, value);
  }

  /** `variable -= value`, modulo 2^64. */
  subtract(variable: Variable, value: Value): void {
    this.arithmetic("sub", variable, value);
  }

  /** Zeroed guest memory, aligned to `alignment` bytes (a power of two up to 4096). */
  buffer(bytes: number, alignment = 64): GuestBuffer {
    const buffer = new GuestBuffer(new Label(`buffer of ${bytes} bytes`), bytes, alignment);
    this.buffers.push(buffer);
    return buffer;
  }

  /** So many bytes of a buffer, from an offset on, as a buffer of their own. */
  part(buffer: GuestBuffer, offset: number, bytes: number): GuestBuffer {
    if (offset < 0 || offset + bytes > buffer.bytes)
      throw new GuestSourceError(
        "VALUE",
        `bytes ${offset} to ${offset + bytes} of a buffer of ${buffer.bytes}`,
      );
    const label = new Label(`bytes ${offset} on of ${buffer.label.name}`);
    const parts = this.parts.get(buffer) ?? [];
    parts.push({ offset, label });
    this.parts.set(buffer, parts);
    const alignment = offset === 0 ? buffer.alignment : Math.min(buffer.alignment, offset & -offset);
    return new GuestBuffer(label, bytes, alignment);
  }

  /** Data of the image that `emit` writes, after all code. @returns its first byte */
  table(emit: (a: Assembler) => void): Label {
    const label = new Label("table");
    this.tables.push((a) => {
      a.align(16);
      a.bind(label);
      emit(a);
    });
    return label;
  }

  /**
   * Has the calls of an operation that follow pass their struct in this buffer, as large as the struct at least; or where they
   * do by default. Says nothing to FastABI.
   */
  useStruct(operation: OperationDescriptor, buffer: GuestBuffer | undefined): void {
    if (buffer === undefined) this.structs.delete(operation.name);
    else this.structs.set(operation.name, buffer);
  }

  /**
   * Writes entry `index` of a multicall's list instead of making the call.
   * @throws GuestSourceError as {@link call}, and where the interface has no multicalls
   */
  entry(
    list: GuestBuffer,
    index: number,
    operation: OperationDescriptor,
    inputs: readonly (Value | undefined)[],
  ): void {
    const operands = inputs.map((value, i) =>
      value === undefined ? undefined : this.operand(value, operation.inputs[i]),
    );
    this.overwritten++;
    this.stubs.emitEntry(this.asm, operation, operands, atLabel(list.label, ENTRY_BYTES * index));
  }

  /** Guest frame number of a buffer that starts a page, in a new variable. @throws GuestSourceError for one that may not */
  frameOf(buffer: GuestBuffer): Variable {
    if (buffer.alignment % PAGE_BYTES !== 0)
      throw new GuestSourceError(
        "VALUE",
        `a buffer aligned to ${buffer.alignment} bytes does not start a page: align it to ${PAGE_BYTES}`,
      );
    const variable = this.pool.take();
    this.asm.mov(variable.register, physicalAddress(buffer.label));
    this.asm.shift("shr", variable.register, 12);
    return variable;
  }

  /** Runs `body` that many times; a loop in the guest, emitted once. */
  repeat(count: number | bigint | Variable, body: () => void): void {
    const counter = this.variable(count);
    const end = this.asm.label("end of loop");
    if (count instanceof Variable) {
      this.asm.test(counter.register, counter.register);
      this.asm.jcc("e", end);
    }
    if (count !== 0 && count !== 0n) {
      this.asm.align(LOOP_ALIGNMENT, 0x90);
      const top = this.asm.here("loop");
      body();
      this.asm.alu("sub", counter.register, 1);
      this.asm.jcc("ne", top);
    }
    this.asm.bind(end);
    counter.release();
  }

  /** Runs `body` when `left <condition> right` holds (b, ae, e, ne, be, a unsigned; l, ge, le, g signed). */
  when(left: Variable, condition: ConditionName, right: Value, body: () => void): void {
    this.pool.check(left);
    const skip = this.asm.label("condition false");
    const hold = this.asm.label("condition true");
    const value = this.operand(right);
    if (typeof value === "number" && value >= -(2 ** 31) && value < 2 ** 31)
      this.asm.alu("cmp", left.register, value);
    else {
      this.asm.mov(rax, value);
      this.asm.alu("cmp", left.register, rax);
      this.overwritten++;
    }
    this.asm.jcc(condition, hold);
    this.asm.jmp(skip);
    this.asm.bind(hold);
    body();
    this.asm.bind(skip);
  }

  /** Time stamp, in cycles, fenced so that neither earlier nor later instructions cross it. */
  rdtsc(): Variable {
    const variable = this.pool.take();
    this.emitTimestamp();
    this.asm.mov(variable.register, rax);
    return variable;
  }

  /** Cycles that `body` took: one fenced RDTSC before and one after it, nothing else between. */
  measure(body: () => void): Variable {
    const cycles = this.rdtsc();
    body();
    this.emitTimestamp();
    this.asm.alu("sub", rax, cycles.register);
    this.asm.mov(cycles.register, rax);
    return cycles;
  }

  /** XCHG BX, BX, which does nothing on any processor; a fast-forward can end after it. */
  marker(): void {
    this.asm.plain("marker");
  }

  /** Prints text (UTF-8) on the console. */
  print(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.asm.mov(rsi, linearAddress(this.textLabel(text)));
    this.asm.mov(ecx, bytes.length);
    this.callRoutine(this.routines.print);
    if (text.includes("\n")) this.callRoutine(this.routines.flush);
  }

  /** Prints an unsigned decimal number. */
  printDecimal(value: Value): void {
    this.asm.mov(rax, this.operand(value));
    this.callRoutine(this.routines.decimal);
  }

  /** Prints 0x and hexadecimal digits. */
  printHex(value: Value): void {
    this.asm.mov(rax, this.operand(value));
    this.callRoutine(this.routines.hex);
  }

  /** Prints `numerator / denominator` with two decimals, rounded down. */
  printRatio(numerator: Value, denominator: Value): void {
    if (denominator === 0 || denominator === 0n)
      throw new GuestSourceError("VALUE", "a ratio to 0 cannot be printed");
    this.asm.mov(rax, this.operand(numerator));
    this.asm.mov(rcx, this.operand(denominator));
    this.callRoutine(this.routines.ratio);
  }

  /** SCHEDOP_shutdown; 0 powers off, 1 reboots, 3 crashes. Emitted at the program's end when the source does not. */
  shutdown(reason: number = SHUTDOWN_POWEROFF): void {
    this.callRoutine(this.routines.flush);
    this.hypercall.sched.shutdown({ reason });
    const forever = this.asm.here("halt");
    this.asm.plain("cli");
    this.asm.plain("hlt");
    this.asm.jmp(forever);
  }

  /** Texts and buffers; called once by the build, after all code. */
  emitData(): void {
    for (const [text, label] of this.texts) {
      this.asm.bind(label);
      this.asm.data(new TextEncoder().encode(text));
    }
    if (this.confidential === undefined) this.emitBuffers();
    for (const emit of this.tables) emit(this.asm);
  }

  /** Bytes of all buffers, from the start of a page on. */
  get bufferBytes(): number {
    let end = 0;
    for (const { bytes, alignment } of this.buffers) end = Math.ceil(end / alignment) * alignment + bytes;
    return end;
  }

  /** Buffers: an encrypted guest's are shared memory, because hypercalls take them. */
  emitBuffers(): void {
    for (const buffer of this.buffers) {
      this.asm.align(buffer.alignment);
      this.asm.bind(buffer.label);
      let done = 0;
      for (const { offset, label } of (this.parts.get(buffer) ?? []).sort((x, y) => x.offset - y.offset)) {
        this.asm.zeros(offset - done);
        this.asm.bind(label);
        done = offset;
      }
      this.asm.zeros(buffer.bytes - done);
    }
  }

  /** For {@link HypercallResult}: a new variable with what the last hypercall left. */
  takeResult(operation: OperationDescriptor, output: string | undefined, issued: number): Variable {
    if (issued !== this.overwritten)
      throw new GuestSourceError(
        "RESULT_OVERWRITTEN",
        `${operation.name}: take results directly after the call, before other calls, prints and time stamps`,
      );
    const field = operation.outputs.find(({ name }) => name === output);
    if (output !== undefined && !field) {
      const names = operation.outputs.map(({ name }) => name).join(", ");
      throw new GuestSourceError(
        "UNKNOWN_OUTPUT",
        `${operation.name} has no output ${output}: it has ${names || "none"}`,
      );
    }
    const variable = this.pool.take();
    if (field) this.stubs.emitOutput(this.asm, operation, field, variable.register);
    else this.asm.mov(variable.register, rax);
    return variable;
  }

  private operand(value: Value, field?: OperationField): Operand {
    if (value instanceof Variable) {
      this.pool.check(value);
      return value.register;
    }
    if (value instanceof GuestBuffer)
      return this.stubs.addressOf(value.label, value.bytes, value.alignment, field);
    if (typeof value === "number" && !Number.isSafeInteger(value))
      throw new GuestSourceError(
        "VALUE",
        `${value} is not an integer that a number holds exactly: use a bigint`,
      );
    return value;
  }

  private arithmetic(operation: "add" | "sub", variable: Variable, value: Value): void {
    this.pool.check(variable);
    const operand = this.operand(value);
    if (typeof operand === "number" && operand >= -(2 ** 31) && operand < 2 ** 31)
      this.asm.alu(operation, variable.register, operand);
    else if (typeof operand === "object" && operand.kind === "register")
      this.asm.alu(operation, variable.register, operand);
    else {
      this.overwritten++;
      this.asm.mov(rax, operand);
      this.asm.alu(operation, variable.register, rax);
    }
  }

  private emitTimestamp(): void {
    this.overwritten++;
    this.asm.plain("lfence");
    this.asm.plain("rdtsc");
    this.asm.plain("lfence");
    this.asm.mov(eax, eax);
    this.asm.shift("shl", rdx, 32);
    this.asm.alu("or", rax, rdx);
  }

  private callRoutine(label: Label): void {
    this.overwritten++;
    this.asm.call(label);
  }

  private textLabel(text: string): Label {
    let label = this.texts.get(text);
    if (!label) {
      label = new Label(`text ${JSON.stringify(text)}`);
      this.texts.set(text, label);
    }
    return label;
  }
}

function inOrder(
  operation: OperationDescriptor,
  inputs: readonly (Value | undefined)[] | Readonly<Record<string, Value>>,
): readonly (Value | undefined)[] {
  if (isList(inputs)) return inputs;
  const names = operation.inputs.map(({ name }) => name);
  const unknown = Object.keys(inputs).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new GuestSourceError(
      "UNKNOWN_INPUT",
      `${operation.name} has no input ${unknown}: it has ${names.join(", ") || "none"}`,
    );
  return names.map((name) => inputs[name]);
}

function isList(
  inputs: readonly (Value | undefined)[] | Readonly<Record<string, Value>>,
): inputs is readonly (Value | undefined)[] {
  return Array.isArray(inputs);
}

/** What a hypercall returned. Take it directly after the call: the next one overwrites it. */
export class HypercallResult {
  private readonly program: GuestProgram;
  private readonly operation: OperationDescriptor;
  private readonly issued: number;

  constructor(program: GuestProgram, operation: OperationDescriptor, issued: number) {
    this.program = program;
    this.operation = operation;
    this.issued = issued;
  }

  /** The result register, a value or a negative errno, in a new variable. */
  result(): Variable {
    return this.program.takeResult(this.operation, undefined, this.issued);
  }

  /**
   * One output, by its name in the operation's description (`state`, `time[0]`), in a new variable. Meaningful when
   * the call succeeded. @throws GuestSourceError for a name that the operation does not have
   */
  output(name: string): Variable {
    return this.program.takeResult(this.operation, name, this.issued);
  }
}
