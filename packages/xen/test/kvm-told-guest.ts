import type { ProcessorProfile } from "@hyperwalk/cpu";
import { Cause, LongModeTables, Pte, ticks } from "@hyperwalk/mmu";
import type { SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import { CONTEXT_DEFAULTS } from "../src/host/vcpu-context.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { hostAddressOf } from "../src/monitor/memory-regions.ts";
import { elfImage } from "./elf-image.ts";
import { le } from "./flat-guest.ts";
import { PRIORITY, VECTOR } from "./kvm-rig.ts";

/** Where the guest has shared_info, by address and by frame. */
export const SHINFO = 0x500000;
const SHINFO_GFN: number = SHINFO / 4096;
const CODE = 0x100000;
const HANDLER = 0x110000;
const GDT = 0x120000;
const IDT = 0x121000;
const STACK = 0x140000;
const PAGE = 0x180000;
const TABLE_GFNS = 0x600;
const MAPPED_PAGES = 2048;
/** Number, five arguments; source, target and bytes of a copy; results from here on. */
const MAIL = 0x1f0000;
const COPY = MAIL + 24;
const RESULT = MAIL + 64;
const UPCALLS = MAIL + 68;
const EARLY = MAIL + 72;
const TSC = MAIL + 80;
const SELECTOR = MAIL + 88;
/** A call's structure, what the guest read, and what it is to write. */
const STRUCT = 0x1e0000;
const SEEN = 0x1e1000;
const DATA = 0x1e2000;
/** A hypercall that neither the kernel nor Xen's interface has: the guest asks what to do. */
const ASK = 0x60;

/** What the host does, and has the guest do by `yield*`. */
export type HostScript = (guest: KvmToldGuest) => Generator<void, void>;

export interface KvmToldGuestOptions {
  readonly bits?: 64 | 32;
  readonly key?: SharedInfoKey;
  /** Offset of `vcpu_info` in shared_info, which the guest's handler clears; default 0. */
  readonly info?: number;
  /** The guest has interrupts off while it asks; default false. */
  readonly masked?: boolean;
}

/**
 * A guest under KVM that asks the monitor what to do, in turn with the host's script: hypercalls, and copies of memory that it
 * reads and writes itself, through its own address space. It has a handler for upcalls.
 */
export class KvmToldGuest {
  readonly system: KvmSystem;
  readonly bits: 64 | 32;
  readonly key: SharedInfoKey;
  private readonly ghz: number;
  private readonly infoAt: number;
  private readonly masked: boolean;

  constructor(
    profile: ProcessorProfile,
    script: HostScript,
    { bits = 64, key = "hva", info = 0, masked = false }: KvmToldGuestOptions = {},
  ) {
    this.bits = bits;
    this.key = key;
    this.ghz = profile.frequency.value;
    this.infoAt = SHINFO + info;
    this.masked = masked;
    let host: Generator<void, void> | undefined;
    this.system = createKvmSystem({
      profile,
      domain: {
        image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
        memoryBytes: 16 * 2 ** 20,
        abi: "linear",
      },
      kvm: { sharedInfo: key },
      hypercall: (exit) => {
        if (exit.input !== BigInt(ASK)) return false;
        host ??= this.wholeScript(script);
        this.mail([0, 0, 0, 0, 0, 0, 0, 0, 0]);
        exit.result = host.next().done === true ? 0n : 1n;
        return true;
      },
    });
    this.build(profile.vendor);
  }

  /** Runs script and guest to their ends. @throws Error for a guest that stops before */
  run(): void {
    const outcome = this.system.run({ maxCycles: 5e10 });
    if (outcome.reason !== "halted" || this.word(RESULT) !== -0x5afe)
      throw new Error(`the guest stopped: ${JSON.stringify(outcome)}`);
  }

  /** How often the guest's handler ran. */
  get upcalls(): number {
    return this.word(UPCALLS);
  }

  /** How often it had when a guest with interrupts off was about to turn them on. */
  get upcallsBeforeSti(): number {
    return this.word(EARLY);
  }

  /** What the handler found in evtchn_pending_sel. */
  get selector(): bigint {
    return u64(this.memory.readBytes(SELECTOR, 8), 0);
  }

  /** The guest's RDTSC after its latest turn. */
  get tsc(): bigint {
    return u64(this.memory.readBytes(TSC, 8), 0);
  }

  /** Guest memory as the host writes it. */
  get memory(): KvmSystem["domain"]["guestMemory"] {
    return this.system.domain.guestMemory;
  }

  /** The kvmclock in nanoseconds. */
  get now(): number {
    return this.system.vm.nowNs();
  }

  /** shared_info in the monitor's process. */
  get sharedInfoHva(): number {
    return hostAddressOf(this.system.domain.sharedInfo.frame);
  }

  /** Time passes. */
  wait(ns: number): void {
    this.system.ledger.charge(Cause.Idle, ticks(Math.ceil(ns * this.ghz)));
  }

  /** KVM_XEN_HVM_EVTCHN_SEND. */
  send(port: number): number {
    return this.system.vm.xenHvmEvtchnSend({ port, vcpu: 0, priority: PRIORITY });
  }

  /** The guest has a turn and comes back. */
  *go(): Generator<void, void> {
    yield;
  }

  /** It makes a hypercall, its structure of 32-bit words behind the command. @returns its result */
  *call(number: number, command: number, words?: readonly number[], vcpu?: number): Generator<void, number> {
    words?.forEach((word, i) => {
      this.memory.writeU32(STRUCT + 4 * i, word >>> 0);
    });
    const struct = words === undefined ? [] : [STRUCT];
    const args = [command, ...(vcpu === undefined ? [] : [vcpu]), ...struct];
    this.mail([number, ...args]);
    yield;
    return this.word(RESULT);
  }

  /** VCPUOP_* of vCPU 0. */
  *vcpuOp(command: number, words: readonly number[]): Generator<void, number> {
    return yield* this.call(24, command, words, 0);
  }

  /** It reads memory. @returns the bytes that it saw */
  *see(address: number, bytes: number): Generator<void, Uint8Array> {
    this.mail([address, SEEN, bytes], COPY);
    yield;
    return this.memory.readBytes(SEEN, bytes);
  }

  /** It writes memory. */
  *put(address: number, bytes: readonly number[]): Generator<void, void> {
    this.memory.writeBytes(DATA, Uint8Array.from(bytes));
    this.mail([DATA, address, bytes.length], COPY);
    yield;
  }

  /** It looks at a port's pending bit. */
  *seesPending(port: number): Generator<void, boolean> {
    const [byte] = yield* this.see(SHINFO + 2048 + (port >>> 3), 1);
    return (byte & (1 << (port & 7))) !== 0;
  }

  /** It sets or clears a port's mask bit, and those of the seven around it. */
  *setMasked(port: number, masked: boolean): Generator<void, void> {
    const masks = SHINFO + 2048 + (this.bits === 64 ? 512 : 128);
    yield* this.put(masks + (port >>> 3), [masked ? 1 << (port & 7) : 0]);
  }

  private *wholeScript(script: HostScript): Generator<void, void> {
    const place = this.bits === 64 ? [0x7ff0, 0, 0, 0, SHINFO_GFN, 0] : [0x7ff0, 0, 0, SHINFO_GFN];
    const results = [
      yield* this.call(12, 7, place), // XENMEM_add_to_physmap, XENMAPSPACE_shared_info
      yield* this.call(34, 0, [0x7ff0, 0, VECTOR, 0x02000000]), // HVMOP_set_param, HVM_PARAM_CALLBACK_IRQ
    ];
    if (results.some((result) => result !== 0)) throw new Error(`the guest's set-up: ${results.join(", ")}`);
    yield* script(this);
    this.memory.writeU32(RESULT, -0x5afe >>> 0);
  }

  private mail(words: readonly number[], at: number = MAIL): void {
    words.forEach((word, i) => {
      this.memory.writeU32(at + 4 * i, word >>> 0);
    });
  }

  private word(at: number): number {
    return this.memory.readU32(at) | 0;
  }

  private build(vendor: "amd" | "intel"): void {
    const { memory, bits, system } = this;
    const is64 = bits === 64;
    const write = (at: number, bytes: readonly number[]) => memory.writeBytes(at, Uint8Array.from(bytes));
    write(CODE, this.code(vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1]));
    write(HANDLER, this.handler());
    write(GDT, [...le(0, 8), 0xff, 0xff, 0, 0, 0, 0x9b, is64 ? 0xaf : 0xcf, 0]);
    write(GDT + 0x40, [...le(15, 2), ...le(GDT), ...le(0)]);
    const gate = [...le(HANDLER, 2), 8, 0, 0, 0x8e, ...le(HANDLER >>> 16, 2)];
    const gateBytes = is64 ? 16 : 8;
    write(IDT + gateBytes * VECTOR, gate);
    write(GDT + 0x50, [...le(256 * gateBytes - 1, 2), ...le(IDT), ...le(0)]);
    let next = TABLE_GFNS;
    const tables = new LongModeTables({
      memory: system.processor.memory,
      allocate: () => next++,
      locate: (gfn) => system.domain.p2m.translate(gfn),
    });
    tables.mapRange(0, 0, MAPPED_PAGES, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
    const flat = (attributes: number, selector = 0) => ({ selector, base: 0, limit: -1, attributes });
    system.domain.vcpus[0].runner.load({
      ...CONTEXT_DEFAULTS,
      registers: Array.from({ length: 8 }, () => [0, 0] as const),
      rip: [CODE, 0],
      rflags: [2, 0],
      cr0: [is64 ? (1 << 31) | 0x31 : 0x31, 0],
      cr3: [is64 ? tables.rootFrame * 4096 : 0, 0],
      cr4: [0x20, 0],
      efer: [is64 ? 0xd00 : 0, 0],
      cs: flat(is64 ? 0xa9b : 0xc9b, 8),
      ds: flat(0xc93),
      es: flat(0xc93),
      ss: flat(0xc93),
      tr: { ...flat(0x8b), limit: 0x67 },
    });
  }

  /** The same bytes are 64- and 32-bit code where nothing else is said: addresses have no base register. */
  private code(hypercall: readonly number[]): number[] {
    const { masked } = this;
    const load = (register: number, at: number) => [0x8b, 0x04 | (register << 3), 0x25, ...le(at)];
    const store = (register: number, at: number) => [0x89, 0x04 | (register << 3), 0x25, ...le(at)];
    const args =
      this.bits === 64
        ? [...[7, 6, 2].flatMap((register, i) => load(register, MAIL + 4 + 4 * i))] // rdi, rsi, rdx
        : [3, 1, 2].flatMap((register, i) => load(register, MAIL + 4 + 4 * i)); // ebx, ecx, edx
    const start = [
      ...[0x0f, 0x01, 0x14, 0x25, ...le(GDT + 0x40)], // lgdt
      ...[0x0f, 0x01, 0x1c, 0x25, ...le(GDT + 0x50)], // lidt
      ...[0xbc, ...le(STACK)],
      ...[0xb9, ...le(0x40000000), 0xb8, ...le(PAGE), 0x31, 0xd2, 0x0f, 0x30], // the hypercall page: its layout too
    ];
    const call = [...args, ...hypercall, ...store(0, RESULT)];
    const turn = [
      ...load(0, MAIL),
      ...[0x85, 0xc0, 0x74, call.length, ...call], // no number, no call
      ...[...load(6, COPY), ...load(7, COPY + 4), ...load(1, COPY + 8), 0xfc, 0xf3, 0xa4], // rep movsb
      ...[0x0f, 0x31, ...store(0, TSC), ...store(2, TSC + 4)],
    ];
    const ask = [
      masked ? 0xfa : 0xfb,
      ...[0xb8, ...le(ASK), ...hypercall],
      ...[...load(2, UPCALLS), ...store(2, EARLY), 0xfb, 0x90, 0x90],
      ...[0x85, 0xc0, 0x0f, 0x84, ...le(turn.length + 5)],
    ];
    return [...start, ...ask, ...turn, 0xe9, ...le(-(ask.length + turn.length + 5)), 0xfa, 0xf4];
  }

  private handler(): number[] {
    const { infoAt } = this;
    const [wide, selectorAt] = this.bits === 64 ? [[0x48], infoAt + 8] : [[], infoAt + 4];
    return [
      0x50,
      ...[0xff, 0x04, 0x25, ...le(UPCALLS)],
      ...[0xc6, 0x04, 0x25, ...le(infoAt), 0],
      ...[0x31, 0xc0, ...wide, 0x87, 0x04, 0x25, ...le(selectorAt)],
      ...[...wide, 0x89, 0x04, 0x25, ...le(SELECTOR)],
      ...[0x58, ...wide, 0xcf],
    ];
  }
}

/** A little-endian 64-bit number. */
export function u64(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
}
