import type { ProcessorProfile } from "@hyperwalk/cpu";
import {
  atLabel,
  defineGuest,
  FASTABI_BIT,
  type GuestProgram,
  linearAddress,
  rax,
  register,
} from "@hyperwalk/guest-sdk";
import {
  createXenSystem,
  DESCRIPTORS,
  type DomainConfig,
  type OperationDescriptor,
  type XenConfig,
  type XenSystem,
} from "@hyperwalk/xen";

/** One FastABI call and what is to come of it. */
export interface RegisterCall {
  /** An operation's name, or a raw hypercall number and sub-operation that nobody has. */
  readonly operation: string | readonly [number, number | bigint];
  readonly inputs?: Readonly<Record<string, number | bigint>>;
  /** What rax holds afterwards; default 0. */
  readonly result?: number;
  /** Outputs and their values; those that it does not name may be anything. */
  readonly outputs?: Readonly<Record<string, number | bigint>>;
}

/** All sixteen registers before and after one call. */
export interface RegisterRecord {
  readonly before: readonly bigint[];
  readonly after: readonly bigint[];
}

/** Encoding numbers of FastABI's registers 0 to 7. */
export const FASTABI_REGISTERS: readonly number[] = [0, 7, 6, 8, 9, 10, 11, 12];
const RAX = 0;
const RSP = 4;
const RECORD_BYTES = 128;
const MASK = 2n ** 64n - 1n;

/** The operation that a call names, among the shipped ones unless told. */
export function operationOf(
  { operation }: RegisterCall,
  known: readonly OperationDescriptor[] = DESCRIPTORS,
): OperationDescriptor | undefined {
  return known.find(({ name }) => name === operation);
}

/** What each register holds when the call is made; no two values are alike. */
function registersFor(call: RegisterCall): bigint[] {
  const values = Array.from({ length: 16 }, (_, i) => 0xa5a5_0000_5a5a_0000n + BigInt(i) * 0x0101_0101_0101n);
  const descriptor = operationOf(call);
  const [number, subop] =
    typeof call.operation === "string"
      ? [descriptor?.hypercall ?? -1, descriptor?.subop ?? -1]
      : call.operation;
  values[RAX] = BigInt(FASTABI_BIT | number);
  values[FASTABI_REGISTERS[1]] = BigInt(subop);
  for (const [name, value] of Object.entries(call.inputs ?? {})) {
    const field = descriptor?.inputs.find((each) => each.name === name);
    if (field === undefined || field.register === 0) throw new Error(`${call.operation} takes no ${name}`);
    values[FASTABI_REGISTERS[field.register]] = BigInt(value) & MASK;
  }
  return values;
}

/** Makes the calls one after the other, each with all registers full, and keeps what was in them afterwards. */
function emitCalls(g: GuestProgram, calls: readonly RegisterCall[], records: number): void {
  const { asm, vendor } = g;
  const scratch = g.buffer(RECORD_BYTES);
  const preserved = [3, 5, 13, 14, 15].map((index) => register(index, 64));
  const others = Array.from({ length: 16 }, (_, i) => i).filter((i) => i !== RSP);
  calls.forEach((call, n) => {
    for (const each of preserved) asm.push(each);
    registersFor(call).forEach((value, i) => {
      if (i !== RSP) asm.mov(register(i, 64), value);
    });
    asm.plain(vendor === "amd" ? "vmmcall" : "vmcall");
    for (const i of others) asm.mov(atLabel(scratch.label, 8 * i), register(i, 64));
    for (const each of [...preserved].reverse()) asm.pop(each);
    // From the scratch record to its place, whose address no register was free for.
    asm.mov(register(6, 64), linearAddress(scratch.label));
    asm.mov(register(7, 64), records + n * RECORD_BYTES);
    for (const i of others) {
      asm.mov(rax, { ...atLabel(scratch.label, 8 * i) });
      asm.mov(
        {
          kind: "memory",
          base: register(7, 64),
          index: undefined,
          scale: 1,
          displacement: 8 * i,
          label: undefined,
        },
        rax,
      );
    }
  });
}

/** Where the records are in guest-physical memory, which the guest's low memory maps one to one. */
export const RECORDS = 0x2000000;
/** Guest frames that calls may name; nothing else is there. */
export const FREE_GFN = 0x3000;

export interface RegisterRun {
  readonly system: XenSystem;
  readonly outcome: ReturnType<XenSystem["run"]>;
  readonly records: readonly RegisterRecord[];
}

/** Runs a guest that makes the calls, in a FastABI domain unless told. */
export function runRegisterCalls(
  profile: ProcessorProfile,
  calls: readonly RegisterCall[],
  options: Partial<DomainConfig> & {
    readonly prepare?: (system: XenSystem) => void;
    readonly xen?: XenConfig;
  } = {},
): RegisterRun {
  const guest = defineGuest("registers", (g) => emitCalls(g, calls, RECORDS));
  const { prepare, xen = {}, ...domain } = options;
  const system = createXenSystem({
    profile,
    xen,
    domain: {
      image: guest.build({ abi: "fastabi", vendor: profile.vendor }),
      memoryBytes: 64 * 2 ** 20,
      abi: "fastabi",
      ...domain,
    },
  });
  prepare?.(system);
  const outcome = system.run({ maxInstructions: 5_000_000 });
  const records = calls.map((call, n): RegisterRecord => {
    const bytes = system.domain.guestMemory.readBytes(RECORDS + n * RECORD_BYTES, RECORD_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const after = Array.from({ length: 16 }, (_, i) => view.getBigUint64(8 * i, true));
    return { before: registersFor(call), after };
  });
  return { system, outcome, records };
}

/** Registers, by number, that a call changed although nobody said that it would. */
export function clobbered(call: RegisterCall, { before, after }: RegisterRecord): number[] {
  const failed = BigInt.asIntN(64, after[RAX]) < 0n;
  const declared = (failed ? [] : (operationOf(call)?.outputs ?? []))
    .filter((field) => field.register !== 0)
    .map((field) => FASTABI_REGISTERS[field.register]);
  return before
    .map((_, i) => i)
    .filter((i) => i !== RAX && i !== RSP && !declared.includes(i) && before[i] !== after[i]);
}
