import type { Stage } from "../path-cost/stage.js";
import { XenConfigError } from "../xen-config.js";
import type { Operation, OperationCall, OperationDescriptor, OperationField } from "./operation.js";

/** The values of one call of an own operation, by the names of its description. */
export interface OwnCall {
  /** Everything else: domain, vCPU, guest memory, costs. */
  readonly call: OperationCall;
  /** An input as the interface brought it, cut to its size and extended as its type says. @throws RangeError for another name */
  input(name: string): bigint;
  /** Sets an output, 0 when nobody does; what does not fit is cut. @throws RangeError for another name */
  output(name: string, value: bigint | number): void;
}

/** What an operation costs when nobody has said. */
const UNKNOWN_COST: Stage = {
  name: "own operation",
  phase: "operation",
  instructions: 100,
  basis: "estimate",
  source: "nobody counted it: what the smallest operations of Xen's take",
  range: [10, 5000],
};

/** Values that one call has room for. */
const MOST_VALUES = 32;
/** What a copy between hypervisor and guest holds. */
const MOST_BYTES = 4096;
const LAST_HYPERCALL = 127;
const LAST_SUBOP = 255;

/**
 * An operation that Xen does not have, for `XenSystemOptions.operations`: what `describeOperations` made of a description,
 * and what it does. It is written once and works through every interface that can carry its values.
 *
 * @param handle returns what goes to the result register: a 32-bit integer, negative for an errno (`-Errno.EINVAL`). It
 * must not keep anything that snapshots would have to know: what it does may depend on the call, domain and memory alone
 * @param stage what it costs; default an estimate of 100 instructions
 *
 * @example
 * const [descriptor] = describeOperations(loadAbi(yaml, "adder.yml"), "adder.yml");
 * const add = ownOperation(descriptor, (own) => {
 *   own.output("sum", own.input("a") + own.input("b"));
 *   return 0;
 * });
 */
export function ownOperation(
  descriptor: OperationDescriptor,
  handle: (own: OwnCall) => number,
  stage: Stage = { ...UNKNOWN_COST, name: descriptor.name },
): Operation {
  const place = (fields: readonly OperationField[], side: string, name: string): number => {
    const at = fields.findIndex((field) => field.name === name);
    if (at < 0)
      throw new RangeError(
        `${descriptor.name} has no ${side} ${name}: it has ${fields.map((field) => field.name).join(", ") || "none"}`,
      );
    return at;
  };
  const values = (call: OperationCall): OwnCall => ({
    call,
    input: (name) => {
      const at = place(descriptor.inputs, "input", name);
      const { bytes, signed } = descriptor.inputs[at];
      const whole = (BigInt(call.inputs[2 * at + 1]) << 32n) | BigInt(call.inputs[2 * at] >>> 0);
      return signed ? BigInt.asIntN(8 * bytes, whole) : BigInt.asUintN(8 * bytes, whole);
    },
    output: (name, value) => {
      const at = place(descriptor.outputs, "output", name);
      const whole = BigInt(value);
      call.outputs[2 * at] = Number(BigInt.asIntN(32, whole));
      call.outputs[2 * at + 1] = Number(BigInt.asIntN(32, whole >> 32n));
    },
  });
  return { descriptor, stage, handle: (call) => handle(values(call)) | 0 };
}

/**
 * Operations from outside beside those that there are.
 * @throws XenConfigError for one that no interface could carry, or in the place of another
 */
export function withOwnOperations(
  known: readonly Operation[],
  own: readonly Operation[],
): readonly Operation[] {
  const all = [...known];
  for (const [n, { descriptor, stage, handle }] of own.entries()) {
    const { name, hypercall, subop, inputs, outputs, struct } = descriptor;
    const refuse = (what: string, value: unknown, allowed: string): never => {
      throw new XenConfigError(`operations[${n}].${what}`, value, allowed);
    };
    const within = (value: number, last: number) => Number.isInteger(value) && value >= 0 && value <= last;
    if (typeof handle !== "function") refuse("handle", typeof handle, "a function");
    if (typeof stage !== "object") refuse("stage", typeof stage, "a stage");
    if (!within(hypercall, LAST_HYPERCALL))
      refuse("descriptor.hypercall", hypercall, `0 to ${LAST_HYPERCALL}`);
    if (!within(subop, LAST_SUBOP)) refuse("descriptor.subop", subop, `0 to ${LAST_SUBOP}`);
    if (inputs.length > MOST_VALUES || outputs.length > MOST_VALUES)
      refuse("descriptor", name, `at most ${MOST_VALUES} inputs and as many outputs`);
    if ((struct?.bytes ?? 0) > MOST_BYTES)
      refuse("descriptor.struct", struct?.bytes, `at most ${MOST_BYTES} bytes`);
    const group = all.filter((each) => each.descriptor.hypercall === hypercall);
    const other = group.find(
      (each) => each.descriptor.subop === subop || each.descriptor.plain || descriptor.plain,
    );
    if (other !== undefined)
      refuse(
        "descriptor",
        `${name} (${hypercall}, ${subop})`,
        `a place that ${other.descriptor.name} does not have`,
      );
    // What runs seldom is compiled late, by a list that those from outside are not in.
    all.push({ descriptor, stage, handle });
  }
  return all;
}
