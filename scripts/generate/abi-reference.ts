import type { AbiGroup, AbiOperation, AbiValue } from "@hyperwalk/xen/abi-loader";
import { BANNER, type Source } from "./source.ts";

const REGISTERS = ["rax", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12"];
const ARGUMENTS = ["rdi", "rsi", "rdx", "r10"];

/** The operations as a Markdown page of tables. */
export function abiReference(sources: readonly Source[]): string {
  const out = [
    `<!-- ${BANNER.join(" ")} -->`,
    "# Operations and where each interface carries their values",
    "",
    "Traditional interfaces (linear and physaddr): rax = hypercall number, rdi = sub-operation, then the arguments",
    "below; result in rax. FastABI: rax = hypercall number | 0x40000000, rdi = sub-operation, values in the",
    "registers below; result in rax. `−` means that an interface does not carry a value. Every operation that copies",
    "may also return -EFAULT.",
    "",
  ];
  for (const { group } of sources) out.push(...groupTables(group));
  return `${out.join("\n").trimEnd()}\n`;
}

function groupTables(group: AbiGroup): string[] {
  const out = [`## ${group.name} (hypercall ${group.hypercall})`, "", group.doc, ""];
  out.push(
    "| operation | sub-op | traditional arguments | copied in, out (bytes) | FastABI in | FastABI out | errors |",
  );
  out.push("| --- | --- | --- | --- | --- | --- | --- |");
  for (const operation of group.operations) out.push(row(group, operation));
  out.push("");
  for (const operation of group.operations)
    if (operation.doc !== "") out.push(`- \`${operation.name}\`: ${operation.doc}`);
  out.push("");
  if (group.structs.length > 0) {
    out.push("| struct | bytes | fields (offset:type) |", "| --- | --- | --- |");
    for (const struct of group.structs) {
      const fields = struct.fields.map(
        (f) => `${f.path}@${f.offset}:${f.type.name}${f.elements > 0 ? `[${f.elements}]` : ""}`,
      );
      out.push(`| ${struct.name} | ${struct.bytes} | ${fields.join(", ")} |`);
    }
    out.push("");
  }
  return out;
}

function row(group: AbiGroup, operation: AbiOperation): string {
  const args = operation.inputs.filter((v) => v.offset === -1).map((v) => v.name);
  if (operation.struct !== undefined) args.push(`${operation.struct} *`);
  if (group.array) args.push("count");
  const traditional = args.map((text, i) => `${ARGUMENTS[group.plain ? i : i + 1]} ${text}`).join(", ");
  const copies = `${operation.copyIn}, ${operation.copyOut}`;
  const carried = (values: readonly AbiValue[]) => values.map(place).join(", ");
  const fast = operation.fastabi
    ? [carried(operation.inputs), carried(operation.outputs)]
    : ["not dispatched", "not dispatched"];
  const cells = [
    operation.name,
    group.plain ? "" : operation.subop,
    traditional,
    copies,
    ...fast,
    operation.errors.join(" "),
  ];
  return `| ${cells.map((cell) => (cell === "" ? "none" : cell)).join(" | ")} |`;
}

function place(value: AbiValue): string {
  if (value.register !== 0) return `${value.name} ${REGISTERS[value.register]}`;
  const implied = value.implied === undefined ? "" : ` (0x${value.implied.toString(16)})`;
  return `${value.name} −${implied}`;
}
