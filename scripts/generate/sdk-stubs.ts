import type { AbiGroup, AbiOperation, AbiValue } from "@hyperwalk/xen/abi-loader";
import { BANNER, camel, pascal, type Source } from "./source.ts";

/** TypeScript stubs for `@hyperwalk/guest-sdk`: one interface a group and a binder that makes all of them. */
export function sdkStubs(sources: readonly Source[]): string {
  const groups = sources.map((s) => s.group);
  const names = groups.flatMap((g) => g.operations.map((o) => `${g.name}.${o.name}`));
  const out = [
    ...BANNER.map((l) => `// ${l}`),
    "",
    "/** Names of the operations, as `OperationDescriptor.name` has them. */",
    "export type OperationName =",
    ...names.map((name, i) => `  | ${JSON.stringify(name)}${i === names.length - 1 ? ";" : ""}`),
    "",
  ];
  for (const group of groups) out.push(...groupInterface(group));
  out.push("/** All stubs, by group: `stubs.vcpu.getRunstateInfo({ vcpuid: 0 })`. */");
  out.push("export interface HypercallStubs<Value, Result> {");
  for (const group of groups)
    out.push(`  readonly ${camel(group.name)}: ${pascal(group.name)}Stubs<Value, Result>;`);
  out.push("}", "", ...binder(groups));
  return `${out.join("\n")}\n`;
}

/** Values that a caller gives: not those that are implied, nor those that FastABI has no register for. */
function asked(operation: AbiOperation): readonly AbiValue[] {
  return operation.inputs.filter((v) => v.implied === undefined && (v.register !== 0 || !operation.fastabi));
}

function groupInterface(group: AbiGroup): string[] {
  const out = [`/** ${group.doc} */`, `export interface ${pascal(group.name)}Stubs<Value, Result> {`];
  for (const operation of group.operations) {
    const inputs = asked(operation).map((v) => `readonly ${camel(v.name)}: Value`);
    const results = operation.outputs.map((v) => v.name);
    const returns = results.length === 0 ? "" : ` Results: ${results.join(", ")}.`;
    out.push(`  /** ${operation.doc}${returns} */`);
    out.push(
      `  ${camel(operation.name)}(${inputs.length === 0 ? "" : `inputs: { ${inputs.join("; ")} }`}): Result;`,
    );
  }
  return [...out, "}", ""];
}

function binder(groups: readonly AbiGroup[]): string[] {
  const out = [
    "/**",
    " * Makes the stubs. Each calls `call` with the operation's name and the values in the order of",
    " * `OperationDescriptor.inputs`; `undefined` stands for a value that stubs do not ask for (`implied` or 0).",
    " */",
    "export function bindHypercallStubs<Value, Result>(",
    "  call: (operation: OperationName, inputs: readonly (Value | undefined)[]) => Result,",
    "): HypercallStubs<Value, Result> {",
    "  return {",
  ];
  for (const group of groups) {
    out.push(`    ${camel(group.name)}: {`);
    for (const operation of group.operations) {
      const given = asked(operation);
      const values = operation.inputs.map((v) =>
        given.includes(v) ? `inputs.${camel(v.name)}` : "undefined",
      );
      const name = JSON.stringify(`${group.name}.${operation.name}`);
      const parameter = given.length === 0 ? "()" : "(inputs)";
      out.push(`      ${camel(operation.name)}: ${parameter} => call(${name}, [${values.join(", ")}]),`);
    }
    out.push("    },");
  }
  return [...out, "  };", "}"];
}
