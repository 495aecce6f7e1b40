import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DESCRIPTORS, type OperationDescriptor, type OperationField } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/*
 * The generated C stubs, compiled and run on this machine with an undefined instruction for the hypercall: a SIGILL
 * handler sees the registers as Xen would, answers, and goes on behind the instruction.
 */

const INCLUDE = fileURLToPath(new URL("../../packages/guest-sdk/include", import.meta.url));
const HARNESS = fileURLToPath(new URL("xen-hypercalls.c", import.meta.url));
const PHYSICAL_OFFSET = 0x100000000n;
const hasGcc = spawnSync("gcc", ["--version"]).status === 0 && process.arch === "x64";
const skipped = hasGcc ? "" : " (skipped: needs gcc on x86-64)";

const ABIS = ["linear", "physaddr", "fastabi"] as const;
type Abi = (typeof ABIS)[number];

const stub = (d: OperationDescriptor, abi: Abi) => `hw_${d.name.replace(".", "_")}_${abi}`;
const asked = (d: OperationDescriptor) => d.inputs.filter((f) => f.offset === -1 && f.implied === undefined);
/** Arguments that are pointers. */
const POINTERS = new Set(["buffer", "call_list"]);
/** Register arguments get these values; small enough for every type. */
const argument = (index: number) => 0x41 + index;
/** Bytes that structs are filled with: odd, and with high bits, so that widths and signs show. */
const pattern = (at: number) => (at * 37 + 0x81) & 0xff;
/** What the handler puts into a FastABI register. */
const answer = (register: number) => 0x8182838485868700n + BigInt(register);

/** Fields that hold a guest address inside the struct. */
const HANDLES: Readonly<Record<string, readonly number[]>> = {
  gnttab_setup_table: [16],
  sched_poll: [0],
  vcpu_register_memory_area: [0],
  xen_add_to_physmap_batch: [8, 16, 24],
  xen_mem_acquire_resource: [24],
  xen_memory_map: [8],
  xen_memory_reservation: [0],
};

function cases(): [OperationDescriptor, Abi][] {
  return DESCRIPTORS.flatMap((d) =>
    ABIS.filter((abi) => abi !== "fastabi" || !d.traditionalOnly).map((abi): [OperationDescriptor, Abi] => [
      d,
      abi,
    ]),
  );
}

function mainProgram(): string {
  const calls = cases().map(([d, abi]) => {
    const parameters = asked(d).map((f, i) =>
      POINTERS.has(f.name) ? `(void *)${argument(i)}` : `${argument(i)}`,
    );
    const physical = abi === "physaddr" ? 1 : 0;
    if (d.struct === undefined)
      return `    begin(${physical}, 0); finish("${d.name}/${abi}", ${stub(d, abi)}(${parameters.join(", ")}), 0, 0);`;
    const handles = (HANDLES[d.struct.name] ?? []).map((at) => `put_handle(&arg, ${at}); `).join("");
    const call = `${stub(d, abi)}(${[...parameters, "&arg"].join(", ")})`;
    return (
      `    { struct ${d.struct.name} arg; fill(&arg, sizeof(arg)); ${handles}begin(${physical}, sizeof(arg)); ` +
      `finish("${d.name}/${abi}", ${call}, &arg, sizeof(arg)); }`
    );
  });
  return `#include "${HARNESS}"\nint main(void)\n{\n    prepare();\n${calls.join("\n")}\n    return 0;\n}\n`;
}

interface Seen {
  readonly registers: Readonly<Record<string, bigint>>;
  readonly result: bigint;
  readonly arg: bigint;
  readonly handle: bigint;
  /** Struct as the hypervisor would find it, and as it was afterwards. */
  readonly found: readonly number[];
  readonly after: readonly number[];
}

function run(): Map<string, Seen> {
  const directory = mkdtempSync(join(tmpdir(), "hyperwalk-stubs-"));
  try {
    writeFileSync(join(directory, "main.c"), mainProgram());
    const flags = [
      "-O1",
      "-fno-pie",
      "-no-pie",
      "-mno-red-zone",
      "-Wall",
      "-Wextra",
      "-Werror",
      `-I${INCLUDE}`,
    ];
    const built = spawnSync("gcc", [...flags, "-o", "stubs", "main.c"], { cwd: directory, encoding: "utf8" });
    if (built.status !== 0) throw new Error(built.stderr);
    const out = spawnSync(join(directory, "stubs"), { encoding: "utf8" });
    if (out.status !== 0) throw new Error(`harness ended with ${out.status ?? out.signal}: ${out.stderr}`);
    return new Map(out.stdout.trim().split("\n").map(parse));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function parse(line: string): [string, Seen] {
  const [name, ...fields] = line.split(" ");
  const values = new Map(fields.map((f) => f.split("=") as [string, string]));
  const number = (key: string) => BigInt(`0x${values.get(key)}`);
  const bytes = (key: string) =>
    (values.get(key) ?? "").match(/../g)?.map((b) => Number.parseInt(b, 16)) ?? [];
  const names = ["rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12"];
  const registers = Object.fromEntries(names.map((n) => [n, number(n)]));
  const seen = { registers, result: number("result"), arg: number("arg"), handle: number("handle") };
  return [name, { ...seen, found: bytes("found"), after: bytes("after") }];
}

const REGISTERS = ["rax", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12"];

function valueAt(bytes: readonly number[], field: OperationField): bigint {
  let value = 0n;
  for (let i = field.bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[field.offset + i]);
  return BigInt.asUintN(64, field.signed ? BigInt.asIntN(8 * field.bytes, value) : value);
}

function filled(d: OperationDescriptor, handle: bigint): number[] {
  const bytes = Array.from({ length: d.struct?.bytes ?? 0 }, (_, i) => pattern(i));
  for (const at of HANDLES[d.struct?.name ?? ""] ?? [])
    for (let i = 0; i < 8; i++) bytes[at + i] = Number((handle >> BigInt(8 * i)) & 0xffn);
  return bytes;
}

function checkTraditional(d: OperationDescriptor, abi: Abi, seen: Seen): void {
  const shift = abi === "physaddr" ? PHYSICAL_OFFSET : 0n;
  expect(seen.registers.rax).toBe(BigInt(d.hypercall));
  const places = ["rdi", "rsi", "rdx", "r10"];
  if (!d.plain) expect(seen.registers[places.shift() ?? ""]).toBe(BigInt(d.subop));
  for (const f of d.inputs.filter((i) => i.offset === -1)) {
    const value = f.implied ?? argument(asked(d).indexOf(f));
    const isPointer = POINTERS.has(f.name);
    expect([f.name, seen.registers[places.shift() ?? ""]]).toEqual([
      f.name,
      BigInt(value) + (isPointer ? shift : 0n),
    ]);
  }
  if (d.struct !== undefined) {
    const pointer = places.shift() ?? "";
    // Structs that hold addresses may be passed as a converted copy; their bytes tell.
    if (HANDLES[d.struct.name] === undefined) expect(seen.registers[pointer]).toBe(seen.arg + shift);
    expect(seen.found).toEqual(filled(d, seen.handle + shift));
  }
  if (d.array) expect(seen.registers[places.shift() ?? ""]).toBe(1n);
  expect(seen.after).toEqual(filled(d, seen.handle));
}

function checkFastabi(d: OperationDescriptor, seen: Seen): void {
  expect(seen.registers.rax).toBe(0x40000000n + BigInt(d.hypercall));
  expect(seen.registers.rdi).toBe(BigInt(d.subop));
  const before = filled(d, seen.handle);
  for (const f of d.inputs.filter((i) => i.register !== 0)) {
    const register = seen.registers[REGISTERS[f.register]];
    if (f.offset === -1) expect([f.name, register]).toEqual([f.name, BigInt(argument(asked(d).indexOf(f)))]);
    else if (f.name === "context_gfn") expect(register).toBe((seen.arg + PHYSICAL_OFFSET) >> 12n);
    else if (f.name === "port" && f.offset === -2) expect(register).toBe(0x11223344n);
    else if (f.name === "buffer") expect(register).toBe(seen.handle + PHYSICAL_OFFSET);
    else expect([f.name, register]).toEqual([f.name, valueAt(before, f)]);
  }
  for (const f of d.outputs.filter((o) => o.register !== 0))
    for (let i = 0; i < f.bytes; i++)
      before[f.offset + i] = Number((answer(f.register) >> BigInt(8 * i)) & 0xffn);
  expect(seen.after).toEqual(before);
}

describe.skipIf(!hasGcc)(`generated C stubs${skipped}`, () => {
  let seen: Map<string, Seen>;
  beforeAll(() => {
    seen = run();
  });
  afterAll(() => seen?.clear());

  it.each(cases().map(([d, abi]) => [d.name, abi, d] as const))("%s through %s", (name, abi, d) => {
    const one = seen.get(`${name}/${abi}`);
    if (one === undefined) throw new Error("the harness did not report it");
    expect(one.result).toBe(0x2an);
    if (abi === "fastabi") checkFastabi(d, one);
    else checkTraditional(d, abi, one);
  });

  it.each(["-O0", "-O2"])("compile for a kernel without a warning, %s", (level) => {
    const kernel = ["-ffreestanding", "-fno-pie", "-mno-sse", "-mno-red-zone", "-mcmodel=kernel"];
    const source = `#define hw_virt_to_phys(p) ((uint64_t)(uintptr_t)(p) - 0xffffffff80000000ull)\n#include "xen-hypercalls.h"\n`;
    const flags = ["-Wall", "-Wextra", "-Werror", "-fkeep-inline-functions", `-I${INCLUDE}`, level];
    const args = [...flags, ...kernel, "-S", "-o", "-", "-x", "c", "-"];
    const compiled = spawnSync("gcc", args, { input: source, encoding: "utf8" });
    expect(compiled.stderr).toBe("");
    expect(compiled.stdout).toContain("hw_vcpu_get_runstate_info:");
  });
});
