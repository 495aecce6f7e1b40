import {
  type AbiGroup,
  type AbiOperation,
  type AbiValue,
  describeOperations,
} from "@hyperwalk/xen/abi-loader";
import { BANNER, camel, constantName, type Source } from "./source.ts";

/** TypeScript constants for `@hyperwalk/xen`: descriptors, where each value is in an `OperationCall`, and look-up. */
export function descriptors(sources: readonly Source[]): string {
  const out = [...BANNER.map((l) => `// ${l}`), ""];
  out.push('import type { OperationDescriptor } from "./operation.js";', "");
  const names: string[] = [];
  for (const { file, group } of sources) {
    out.push(`// ${group.name}: hypercall ${group.hypercall}`, "");
    for (const [name, value] of group.constants) out.push(`export const ${name} = ${value};`);
    if (group.constants.size > 0) out.push("");
    const described = describeOperations(group, file);
    group.operations.forEach((operation, i) => {
      const name = constantName(group.name, operation.name);
      names.push(name);
      out.push(
        `/** ${operation.doc} */`,
        `export const ${name}: OperationDescriptor = ${literal(described[i])};`,
        "",
        ...slots(name, operation),
      );
    });
  }
  out.push("/** Every described operation, in the order of hypercall and sub-operation of its file. */");
  out.push(
    "export const DESCRIPTORS: readonly OperationDescriptor[] = [",
    ...names.map((n) => `  ${n},`),
    "];",
    "",
  );
  out.push(...lookup(sources.map((s) => s.group)));
  return `${out.join("\n")}\n`;
}

/** Word positions of the values: `call.inputs[EVENT_CHANNEL_SEND_IN.port]` is the low word. */
function slots(name: string, operation: AbiOperation): string[] {
  const side = (suffix: string, values: readonly AbiValue[]) =>
    values.length === 0
      ? []
      : [
          `/** Low words in \`call.${suffix === "IN" ? "inputs" : "outputs"}\`. */`,
          `export const ${name}_${suffix} = { ${values.map((v, i) => `${camel(v.name)}: ${2 * i}`).join(", ")} } as const;`,
          "",
        ];
  return [...side("IN", operation.inputs), ...side("OUT", operation.outputs)];
}

function lookup(groups: readonly AbiGroup[]): string[] {
  const out = [
    "const BY_HYPERCALL: Readonly<Record<number, readonly (OperationDescriptor | undefined)[]>> = {",
  ];
  for (const group of groups) {
    out.push(`  ${group.hypercall}: [`);
    const last = Math.max(...group.operations.map((o) => o.subop));
    for (let subop = 0; subop <= last; subop++) {
      const operation = group.operations.find((o) => o.subop === subop);
      out.push(`    ${operation === undefined ? "undefined" : constantName(group.name, operation.name)},`);
    }
    out.push("  ],");
  }
  return [
    ...out,
    "};",
    "",
    "/** Descriptor of a hypercall's sub-operation, or `undefined` when no file describes it. */",
    "export function findDescriptor(hypercall: number, subop: number): OperationDescriptor | undefined {",
    "  return BY_HYPERCALL[hypercall]?.[subop];",
    "}",
    "",
    "/** Hypercall numbers by group name. */",
    `export const HYPERCALLS = { ${groups.map((g) => `${g.name}: ${g.hypercall}`).join(", ")} } as const;`,
  ];
}

function literal(value: unknown, indent = ""): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const inner = value.map((item) => `${indent}  ${literal(item, `${indent}  `)},`);
    return `[\n${inner.join("\n")}\n${indent}]`;
  }
  if (typeof value !== "object" || value === null)
    return value === undefined ? "undefined" : JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => [key, item] as const);
  const flat = entries.every(([, item]) => typeof item !== "object");
  if (flat) return `{ ${entries.map(([key, item]) => `${key}: ${literal(item)}`).join(", ")} }`;
  return `{\n${entries.map(([key, item]) => `${indent}  ${key}: ${literal(item, `${indent}  `)},`).join("\n")}\n${indent}}`;
}
