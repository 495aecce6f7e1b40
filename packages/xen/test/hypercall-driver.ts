import type { ProcessorProfile } from "@hyperwalk/cpu";
import { LongModeTables, Pte } from "@hyperwalk/mmu";
import type { GuestSystem } from "../src/guest-system.ts";
import { CONTEXT_DEFAULTS } from "../src/host/vcpu-context.ts";
import { createXenSystem, type XenSystem, type XenSystemOptions } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";

/** Where the guest begins. */
export const CODE = 0x100000;
const CURSOR = 0x1f0000;
const LEFT = 0x1f0008;
const CALLS = 0x200000;
const TABLE_GFNS = 0x600;
/** rax, rcx, rdx, rbx, rbp, rsi, rdi, r8 to r15, and the result. */
const CALL_BYTES = 128;
const RESULT_AT = 120;
const POPS: readonly number[] = [0x58, 0x59, 0x5a, 0x5b, 0x5d, 0x5e, 0x5f];
const MEMORY_BYTES = 16 * 2 ** 20;
/** Linear addresses are guest-physical ones up to here; what is above is mapped nowhere. */
export const MAPPED_BYTES: number = 8 * 2 ** 20;

/** Registers of a call by their encoding, as pairs of words: rax, rcx, rdx, rbx, rsp (not used), rbp, rsi, rdi, r8 to r15. */
export type CallRegisters = readonly (readonly [number, number])[];

type DriverCreate<S> = (options: Pick<XenSystemOptions, "profile" | "domain">) => S;

/** 64-bit guest code that makes one hypercall after the other with all registers from a list. */
export class HypercallDriver<S extends GuestSystem = XenSystem> {
  readonly system: S;
  /** Machine frame of guest frame 0 when the domain was built; the others of its RAM follow. */
  readonly firstFrame: number;
  private readonly calls: readonly CallRegisters[];

  /** @param create makes the system around it; default under Xen */
  constructor(
    profile: ProcessorProfile,
    domain: Partial<DomainConfig>,
    calls: readonly CallRegisters[],
    create: DriverCreate<S> = createXenSystem as unknown as DriverCreate<S>,
  ) {
    this.calls = calls;
    const image = elfImage({ bits: 64, segments: [{ address: CODE, bytes: 64 }] });
    this.system = create({ profile, domain: { image, memoryBytes: MEMORY_BYTES, abi: "linear", ...domain } });
    this.firstFrame = this.system.domain.p2m.translate(0);
    this.build(profile.vendor);
  }

  /** How often the guest has made a call and gone on. */
  get done(): number {
    return this.calls.length - this.system.domain.guestMemory.readU32(LEFT);
  }

  /** Memory that the guest itself writes to: [guest-physical address, bytes], its page tables among them. */
  ownWrites(): readonly (readonly [number, number])[] {
    const tables = 4096 * TABLE_GFNS;
    return [
      [CURSOR, LEFT + 8 - CURSOR],
      [tables, MAPPED_BYTES - tables],
      ...this.calls.map((_, i) => [CALLS + CALL_BYTES * i + RESULT_AT, 8] as const),
    ];
  }

  /** What a call left in rax, low word. */
  resultOf(call: number): number {
    return this.system.domain.guestMemory.readU32(CALLS + CALL_BYTES * call + RESULT_AT) | 0;
  }

  private build(vendor: "amd" | "intel"): void {
    const { processor, domain } = this.system;
    const { guestMemory } = domain;
    let next = TABLE_GFNS;
    const tables = new LongModeTables({
      memory: processor.memory,
      allocate: () => next++,
      locate: (gfn) => domain.p2m.translate(gfn),
    });
    tables.mapRange(0, 0, MAPPED_BYTES / 4096, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
    guestMemory.writeBytes(CODE, Uint8Array.from(code(vendor)));
    guestMemory.writeU32(CURSOR, CALLS);
    guestMemory.writeU32(LEFT, this.calls.length);
    const list = new DataView(new ArrayBuffer(CALL_BYTES * this.calls.length));
    this.calls.forEach((registers, i) => {
      let at = CALL_BYTES * i;
      registers.forEach(([lo, hi], register) => {
        if (register === 4) return;
        list.setInt32(at, lo, true);
        list.setInt32(at + 4, hi, true);
        at += 8;
      });
    });
    guestMemory.writeBytes(CALLS, new Uint8Array(list.buffer));
    const flat = (attributes: number) => ({ selector: 0, base: 0, limit: 0xffffffff | 0, attributes });
    domain.vcpus[0].runner.load({
      ...CONTEXT_DEFAULTS,
      registers: Array.from({ length: 8 }, () => [0, 0] as const),
      rip: [CODE, 0],
      rflags: [2, 0],
      cr0: [(1 << 31) | (1 << 16) | 0x31, 0],
      cr3: [tables.rootFrame * 4096, 0],
      cr4: [0x20, 0],
      efer: [0xd00, 0],
      cs: flat(0xa9b),
      ds: flat(0xc93),
      es: flat(0xc93),
      ss: flat(0xc93),
      tr: { ...flat(0x8b), limit: 0x67 },
    });
  }
}

function code(vendor: "amd" | "intel"): number[] {
  const le = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  const body = [
    ...[0x48, 0x8b, 0x24, 0x25, ...le(CURSOR)], // mov rsp, [CURSOR]
    ...POPS,
    ...[8, 9, 10, 11, 12, 13, 14, 15].flatMap((register) => [0x41, 0x58 + register - 8]),
    ...(vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1]),
    ...[0x48, 0x89, 0x04, 0x24], // mov [rsp], rax
    ...[0x48, 0x81, 0x04, 0x25, ...le(CURSOR), ...le(CALL_BYTES)], // add qword [CURSOR], CALL_BYTES
    ...[0xff, 0x0c, 0x25, ...le(LEFT)], // dec dword [LEFT]
  ];
  return [...body, 0x0f, 0x85, ...le(-(body.length + 6)), 0xfa, 0xf4]; // jnz; cli; hlt
}
