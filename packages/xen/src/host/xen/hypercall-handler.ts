import { ArgumentRegisters } from "../../abi/argument-registers.js";
import { FASTABI_MASK, FASTABI_REGISTERS } from "../../abi/fastabi.js";
import type { HypercallAbi } from "../../abi/hypercall-abi.js";
import { hypercallArity } from "../../abi/hypercall-arity.js";
import { type Continuation, HYPERCALL_ARGUMENTS } from "../../continuation.js";
import { Errno } from "../../errno.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import { type HypercallObserver, hexadecimal, modeName } from "../../hypercall-observer.js";
import type { HypervisorCounters } from "../../hypervisor-counters.js";
import type { MulticallEntry } from "../../multicall-entry.js";
import type { Constituents, OperationCall } from "../../operations/operation.js";
import { Phase } from "../../path-cost/phases.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { CONTINUATION, DEBUG_CLOBBER, HVM_HYPERCALL } from "../../path-cost/stages/dispatch.js";
import type { PlainData } from "../../snapshot/plain-data.js";
import type { ViridianHypercalls } from "../../viridian/viridian-hypercalls.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";

const RAX = 0;

/** One hypercall as listeners see it. */
export interface HypercallEvent {
  /** rax as the guest passed it, low word, unsigned. */
  readonly number: number;
  /** `group.operation`, or undefined for numbers that nobody handles. */
  readonly operation: string | undefined;
  readonly abi: HypercallAbi["id"] | undefined;
  /** The five register arguments of a traditional call, in order, as hexadecimal numbers. */
  readonly arguments: readonly string[];
  /** What went to rax. */
  readonly result: number;
  /** It is not done: the guest makes it again, with other arguments, and {@link result} is none. Absent where it is. */
  readonly continues?: true;
}

/** `hvm_hypercall`: mode, privilege, Viridian's bit, interface, table. */
export class HypercallHandler implements Constituents {
  /** Told about every call while set. */
  onHypercall: ((event: HypercallEvent) => void) | undefined;
  /** Sees every call from within while set. */
  observer: HypercallObserver | undefined;
  /** Told the name of every call while set. */
  accounting: ExitAccounting | undefined;
  /** Has the numbers with bit 31, where the domain has Hyper-V's interface. */
  viridian: ViridianHypercalls | undefined;
  private readonly argumentRegisters: ArgumentRegisters;
  private readonly abis: readonly HypercallAbi[];
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly stage: number;
  private readonly operationPhase: number;
  /** Number of the present call if a debug build overwrites its arguments, else -1. */
  private clobbers = -1;

  /** @param abis the domain's interfaces; the first that claims a number has it */
  constructor(
    abis: readonly HypercallAbi[],
    registers: GuestRegisters,
    cost: StagePathCost,
    counters: HypervisorCounters,
  ) {
    this.abis = abis;
    this.argumentRegisters = new ArgumentRegisters(registers);
    this.registers = registers;
    this.cost = cost;
    this.counters = counters;
    this.stage = cost.compile(HVM_HYPERCALL);
    this.operationPhase = cost.phase(Phase.Operation);
  }

  /**
   * Handles the call in the registers and leaves the result in rax.
   * @returns false when the guest is to make the call that is now in its registers instead of going on
   */
  handle(call: OperationCall): boolean {
    const { registers } = this;
    const { continuation } = call;
    continuation.pending = false;
    call.vcpu.yielded = false;
    this.counters.hypercalls++;
    this.cost.run(this.stage);
    const { mode } = registers;
    // In 64-bit mode the whole of rax is the number, and the whole of rax is the result.
    const long = mode === GuestCodeMode.Long;
    const number = registers.lo(RAX);
    if (this.observer !== undefined) this.begin(this.observer, call, number, mode);
    this.clobbers = -1;
    if (number < 0 && this.viridian !== undefined && !this.refuses(mode)) {
      const status = this.viridian.handle(call);
      this.report(number, this.viridian.name, "viridian", status);
      return true;
    }
    const result = this.dispatch(number, mode, call);
    if (continuation.pending) {
      this.createContinuation(continuation, number, mode);
      return false;
    }
    registers.set(RAX, result, long ? result >> 31 : 0);
    if (call.debugBuild && this.clobbers >= 0 && result !== -Errno.ENOSYS) this.clobber();
    return true;
  }

  /** What the interfaces remember, by interface; {} for one that remembers nothing. */
  snapshot(): readonly PlainData[] {
    return this.abis.map((abi) => abi.snapshot?.() ?? {});
  }

  restore(snapshot: readonly PlainData[]): void {
    this.abis.forEach((abi, i) => {
      abi.restore?.(snapshot[i] as never);
    });
  }

  private begin(observer: HypercallObserver, { vcpu }: OperationCall, number: number, mode: number): void {
    const { registers, argumentRegisters } = this;
    const fastabi =
      mode === GuestCodeMode.Long &&
      number > 0 &&
      (number & FASTABI_MASK) !== 0 &&
      this.abis.some(({ id }) => id === "fastabi");
    observer.onBegin({
      vcpu: vcpu.id,
      number: number >>> 0,
      mode: modeName(mode),
      arguments: fastabi
        ? FASTABI_REGISTERS.slice(1).map((register) =>
            hexadecimal(registers.lo(register), registers.hi(register)),
          )
        : argumentRegisters.allTexts,
      fastabi,
      isEntry: false,
    });
  }

  private clobber(): void {
    const { argumentRegisters, cost } = this;
    cost.run(cost.compile(DEBUG_CLOBBER));
    argumentRegisters.latch();
    argumentRegisters.clobber(hypercallArity(this.clobbers, argumentRegisters.compat));
  }

  /** Makes the call of a multicall's entry: by number alone, without what the instruction checks (`call_handlers_hvm64`). */
  invoke(entry: MulticallEntry, call: OperationCall): number {
    const { observer } = this;
    if (observer === undefined) return this.invokeEntry(entry, call);
    const { vcpu, compat, continuation } = call;
    const number = entry.numberLo >>> 0;
    const texts = Array.from({ length: HYPERCALL_ARGUMENTS }, (_, i) =>
      hexadecimal(entry.lo(i), entry.hi(i)),
    );
    const mode = compat ? "32-bit" : "64-bit";
    observer.onBegin({ vcpu: vcpu.id, number, mode, arguments: texts, fastabi: false, isEntry: true });
    const result = this.invokeEntry(entry, call);
    observer.onEntry({ vcpu: vcpu.id, number, result, continues: continuation.pending });
    return result;
  }

  private invokeEntry(entry: MulticallEntry, call: OperationCall): number {
    const { abis } = this;
    const number = entry.numberLo;
    if (number < 0 || entry.numberHi !== 0) return -Errno.ENOSYS;
    for (let i = 0; i < abis.length; i++) {
      const abi = abis[i];
      if (abi.decodeFrom === undefined || !abi.claims(number)) continue;
      const operation = abi.decodeFrom(number, entry);
      if (operation === undefined) return -Errno.ENOSYS;
      const result = abi.invoke(operation, call);
      return call.continuation.pending ? call.continuation.number : result;
    }
    return -Errno.ENOSYS;
  }

  /** Number and arguments of the call that goes on, where the instruction takes them from. */
  private createContinuation(continuation: Continuation, called: number, mode: number): void {
    const { argumentRegisters, registers } = this;
    this.abis.find((abi) => abi.claims(called) && serves(abi, mode))?.resume?.(continuation);
    const { number, count, lo, hi } = continuation;
    this.cost.run(this.cost.compile(CONTINUATION));
    argumentRegisters.latch();
    registers.set(RAX, number, 0);
    for (let i = 0; i < count; i++) argumentRegisters.set(i, lo[i], hi[i]);
  }

  /** Callers that may make no hypercall: user code, and VM86 mode. */
  private refuses(mode: number): boolean {
    return mode === GuestCodeMode.Vm86 || (mode !== GuestCodeMode.Real && this.registers.cpl !== 0);
  }

  private dispatch(number: number, mode: number, call: OperationCall): number {
    const { registers } = this;
    if (this.refuses(mode)) return this.report(number, undefined, undefined, -Errno.EPERM);
    // Bit 31 is Viridian's.
    if (number < 0 || (mode === GuestCodeMode.Long && registers.hi(RAX) !== 0))
      return this.report(number, undefined, undefined, -Errno.ENOSYS);
    const { abis } = this;
    for (let i = 0; i < abis.length; i++) {
      const abi = abis[i];
      if (!abi.claims(number) || !serves(abi, mode)) continue;
      const operation = abi.decode(number);
      if (operation === undefined) return this.report(number, undefined, abi.id, -Errno.ENOSYS);
      this.cost.enter(this.operationPhase);
      const result = abi.invoke(operation, call);
      this.cost.leave();
      if (abi.debugClobbers) this.clobbers = operation.descriptor.hypercall;
      return this.report(number, operation.descriptor.name, abi.id, result, call.continuation.pending);
    }
    return this.report(number, undefined, undefined, -Errno.ENOSYS);
  }

  private report(
    number: number,
    operation: string | undefined,
    abi: string | undefined,
    result: number,
    continues = false,
  ): number {
    if (this.onHypercall !== undefined)
      this.onHypercall({
        number: number >>> 0,
        operation,
        abi,
        arguments: this.argumentRegisters.texts,
        result,
        ...(continues && { continues }),
      });
    this.accounting?.name(operation ?? `hypercall-0x${(number >>> 0).toString(16)}`);
    return result;
  }
}

function serves(abi: HypercallAbi, mode: number): boolean {
  return !abi.longModeOnly || mode === GuestCodeMode.Long;
}
