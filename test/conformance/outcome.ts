import { descriptorOf } from "@hyperwalk/guest-sdk";
import type { HypercallAbiName } from "@hyperwalk/xen";
import type { Row, RowOutput } from "./row.js";
import type { RowOutcome } from "./run.js";

/** What is compared of a call, as one object. */
export function found(row: Row, abi: HypercallAbiName, { result, outputs, seen }: RowOutcome): object {
  const fields = descriptorOf(row.operation).outputs;
  const named = outputsOf(row, abi).map(([name, wanted]) => {
    const at = fields.findIndex((field) => field.name === name);
    return [name, typeof wanted === "object" ? wanted : shown(outputs[at], fields[at].signed)] as const;
  });
  return { result, outputs: Object.fromEntries(named), ...(row.look === undefined ? {} : { seen }) };
}

/** The same of what the table says. */
export function wanted(row: Row, abi: HypercallAbiName): object {
  const { result, look, seen } = row;
  const named = outputsOf(row, abi).map(([name, value]) => [name, expected(value)]);
  return { result, outputs: Object.fromEntries(named), ...(look === undefined ? {} : { seen }) };
}

/** Those that the interface carries. */
function outputsOf(row: Row, abi: HypercallAbiName): readonly (readonly [string, RowOutput])[] {
  const fields = descriptorOf(row.operation).outputs;
  return Object.entries(row.outputs ?? {}).filter(
    ([name]) => abi !== "fastabi" || fields.find((field) => field.name === name)?.register !== 0,
  );
}

const expected = (value: RowOutput) => (typeof value === "object" ? value : BigInt(value));
const shown = (bits: bigint, signed: boolean) => (signed ? BigInt.asIntN(64, bits) : bits);
