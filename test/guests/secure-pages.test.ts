import { epyc9124, PAGE_NOT_VALIDATED, State } from "@hyperwalk/cpu";
import {
  type Assembler,
  at,
  atLabel,
  defineGuest,
  eax,
  ecx,
  edi,
  edx,
  type Guest,
  type GuestProgram,
  type Label,
  linearAddress,
  physicalAddress,
  r8,
  r10,
  rax,
  rdx,
  rsi,
  runstateLoop,
} from "@hyperwalk/guest-sdk";
import { encryptedFrame, type ReverseMap } from "@hyperwalk/mmu";
import {
  type ConfidentialKind,
  createXenSystem,
  decodeSnapshot,
  encodeSnapshot,
  Ghcb,
  GhcbInfo,
  GuestAddressError,
  type HypercallAbiName,
  PAGE_STATE_EVENT,
  PageOperation,
  SecurePages,
  validBit,
  type XenSystem,
} from "@hyperwalk/xen";
import { expect, test } from "vitest";

const ASID = 1;
/** 16 MiB. */
const FRAMES = 0x1000;
/** Far from the image, in 2 MiB pages. */
const FAR = 0xc00;
const EFAULT = 14;
const MAGIC = 0x1122334455667788n;
const RUNSTATE = { hypercall: 24, subop: 4 } as const;
const CARRY = 0x100;
/** Of the VMSA. */
const VMSA_RSP = 0x1d8;
const VMSA_CR2 = 0x240;
const IMAGE_LINEAR_LOW = 0x80000000;

interface Setup {
  readonly abi?: HypercallAbiName;
  readonly kind?: ConfidentialKind;
  readonly iterations?: number;
  readonly p2mPage?: "4k" | "2m";
}

function systemWith(guest: Guest, setup: Setup = {}): XenSystem {
  const { abi = "physaddr", kind = "sev-snp", iterations = 20, p2mPage = "2m" } = setup;
  const image = guest.build({ abi, vendor: "amd", confidential: kind, iterations });
  return createXenSystem({
    profile: epyc9124,
    domain: { image, memoryBytes: FRAMES * 4096, abi, confidential: kind, p2mPage },
    accounting: true,
  });
}

const reverseMap = (system: XenSystem): ReverseMap => system.processor.mmu.reverseMap!;
const run = (system: XenSystem) => system.run({ maxInstructions: 2e6 });

/** A private page of the guest's own in its image, behind a jump. */
function privatePage(g: GuestProgram): Label {
  const { asm } = g;
  const label = asm.label("private");
  const over = asm.label("over");
  asm.jmp(over);
  asm.align(4096);
  asm.bind(label);
  asm.zeros(4096);
  asm.bind(over);
  return label;
}

/** PVALIDATE by the one-to-one mapping; AL becomes the result, AH the carry flag. */
function pvalidate(asm: Assembler, page: Label, size: number, valid: number): void {
  asm.mov(rax, physicalAddress(page));
  asm.mov(ecx, size);
  asm.mov(edx, valid);
  asm.plain("pvalidate");
  asm.raw(0x0f, 0x92, 0xc4); // setc ah
}

function printAx(g: GuestProgram): void {
  const value = g.variable();
  g.asm.movzx(eax, { ...eax, bits: 16 }, 16);
  g.asm.mov(value.register, rax);
  g.printDecimal(value);
  g.print(" ");
  value.release();
}

test("every page of the image, and the rest of RAM, is the guest's and valid once it runs; what it shares is Xen's", () => {
  for (const p2mPage of ["4k", "2m"] as const) {
    const system = systemWith(runstateLoop, { p2mPage });
    const { p2m } = system.domain;
    const map = reverseMap(system);
    const count = (test: (gfn: number) => boolean) =>
      Array.from({ length: FRAMES }, (_, gfn) => gfn).filter(test).length;
    const entry = (gfn: number) => map.read(p2m.translate(gfn));
    // The toolstack assigned all of it; what it launched is valid.
    expect(count((gfn) => entry(gfn).assigned)).toBe(FRAMES);
    const launched = count((gfn) => entry(gfn).validated);
    expect(launched).toBeGreaterThan(8);
    expect(launched).toBeLessThan(64);
    expect(run(system).reason).toBe("shutdown");
    // The GHCB and the bounce buffer.
    const shared = count((gfn) => !entry(gfn).assigned);
    expect(shared).toBe(2);
    const valid = count((gfn) => {
      const { assigned, validated, large, asid, gfn: at } = map.read(p2m.translate(gfn));
      if (!assigned) return false;
      if (!large) return validated && asid === ASID && at === gfn;
      return map.read(p2m.translate(gfn - (gfn % 512))).validated;
    });
    expect(valid).toBe(FRAMES - shared);
  }
});

test("what it takes to start depends on the sizes of pages, what a call takes does not", () => {
  const [small, large] = (["4k", "2m"] as const).map((p2mPage) => {
    const system = systemWith(runstateLoop, { abi: "fastabi", p2mPage });
    run(system);
    const { cycles, hypercalls } = system.window!;
    return { start: system.cycles - cycles, call: cycles / hypercalls };
  });
  // 16 MiB in pages of 4 KiB: 4096 PVALIDATEs instead of 7 and 512, at 500 cycles.
  expect(small.start - large.start).toBeGreaterThan(3500 * 500);
  expect(small.call / large.call).toBeCloseTo(1, 2);
});

/** A call by the physaddr interface with a pointer to that page, which holds a known value. */
const callInto = (place: (g: GuestProgram) => Label) =>
  defineGuest("pointer", (g) => {
    const label = place(g);
    const { asm } = g;
    asm.mov(rax, MAGIC);
    asm.mov(atLabel(label), rax);
    asm.mov(edi, RUNSTATE.subop);
    asm.mov(rsi, 0);
    asm.mov(rdx, physicalAddress(label));
    asm.mov(r10, 0);
    asm.mov(r8, 0);
    asm.mov(eax, RUNSTATE.hypercall);
    asm.plain("vmmcall");
    const result = g.variable();
    asm.mov(result.register, rax);
    g.print("result=");
    g.printHex(result);
    asm.mov(result.register, atLabel(label));
    g.print(" there=");
    g.printHex(result);
    g.print("\n");
  });

test("a call with a pointer to a private page is -EFAULT, and the page is what it was", () => {
  const into = (guest: Guest) => {
    const system = systemWith(guest);
    expect(run(system).reason).toBe("shutdown");
    return system.console;
  };
  const refused = (2n ** 64n - BigInt(EFAULT)).toString(16);
  expect(into(callInto(privatePage))).toBe(`result=0x${refused} there=0x${MAGIC.toString(16)}\n`);
  expect(into(callInto((g) => g.buffer(64).label))).toMatch(/^result=0x0+ there=0x0+\n$/);
});

test("PVALIDATE says what it did: changed, unchanged (CF), another size (6), no size (1)", () => {
  const guest = defineGuest("pvalidate", (g) => {
    const page = privatePage(g);
    for (const [size, valid] of [
      [0, 1],
      [0, 0],
      [0, 0],
      [0, 1],
      [2, 1],
    ]) {
      pvalidate(g.asm, page, size, valid);
      printAx(g);
    }
    // 2 MiB of which parts are shared.
    g.asm.mov(rax, 0x200000);
    g.asm.mov(ecx, 1);
    g.asm.plain("pvalidate");
    g.asm.raw(0x0f, 0x92, 0xc4);
    printAx(g);
    g.print("\n");
  });
  const system = systemWith(guest);
  expect(run(system).reason).toBe("shutdown");
  expect(system.console).toBe(`${CARRY} 0 ${CARRY} 0 1 6 \n`);
});

test("PVALIDATE and RMPADJUST are #UD in a guest that is not SNP-active, 2 MiB off their place #GP", () => {
  const guest = (instruction: "pvalidate" | "rmpadjust", address: number) =>
    defineGuest("instruction", (g) => {
      g.asm.mov(rax, address);
      g.asm.mov(ecx, 1);
      g.asm.mov(edx, 1);
      g.asm.plain(instruction);
      g.print("went on\n");
    });
  const endOf = (kind: ConfidentialKind, made: Guest) => {
    const system = systemWith(made, { kind });
    const { reason } = run(system);
    return system.console === "went on\n" ? "went on" : reason;
  };
  for (const instruction of ["pvalidate", "rmpadjust"] as const) {
    expect(endOf("sev-es", guest(instruction, FAR * 4096))).toBe("triple-fault");
    expect(endOf("sev-snp", guest(instruction, FAR * 4096 + 4096))).toBe("triple-fault");
    expect(endOf("sev-snp", guest(instruction, FAR * 4096))).toBe("went on");
  }
});

/** What the secure processor could see of the vCPU after it left: CR2, and the error code on its stack. */
function lastException(system: XenSystem): { readonly address: number; readonly errorCode: number } {
  const { memory } = system.processor;
  const vmsa = encryptedFrame(system.vcpus[0].control.encrypted!.vmsaFrame, ASID) * 4096;
  const rsp = memory.readU32(vmsa + VMSA_RSP) - IMAGE_LINEAR_LOW;
  const frame = system.domain.p2m.translate(Math.floor(rsp / 4096));
  return {
    address: memory.readU32(vmsa + VMSA_CR2),
    errorCode: memory.readU32(encryptedFrame(frame, ASID) * 4096 + (rsp % 4096)),
  };
}

test("an access to a page whose validation was taken back is #VC 404h with the address in CR2", () => {
  const guest = defineGuest("not valid", (g) => {
    const page = privatePage(g);
    pvalidate(g.asm, page, 0, 0);
    g.asm.mov(rsi, linearAddress(page));
    g.asm.mov(rax, at(rsi, 8));
    g.print("went on\n");
  });
  const system = systemWith(guest);
  expect(run(system).detail).toMatch(/asked to be terminated/);
  const { address, errorCode } = lastException(system);
  expect(errorCode).toBe(PAGE_NOT_VALIDATED);
  expect(address % 4096).toBe(8);
  expect(system.console).toBe("");
});

test("a handler's own stack that is not valid is a double fault, and without a handler the end", () => {
  const guest = defineGuest("no stack", (g) => {
    const page = privatePage(g);
    pvalidate(g.asm, page, 0, 0);
    g.asm.mov(rsi, linearAddress(page));
    g.asm.raw(0x48, 0x8d, 0xa6, 0x00, 0x08, 0x00, 0x00); // lea rsp, [rsi+800h]
    g.asm.mov(rax, at(rsi));
  });
  expect(run(systemWith(guest)).reason).toBe("triple-fault");
});

test("4 KiB of a page that the reverse map has as 2 MiB: Xen splits it, and the instruction goes on", () => {
  const guest = defineGuest("split", (g) => {
    g.asm.mov(rax, (FAR + 5) * 4096);
    g.asm.mov(ecx, 0);
    g.asm.mov(edx, 0);
    g.asm.plain("pvalidate");
    g.asm.raw(0x0f, 0x92, 0xc4);
    printAx(g);
    g.asm.mov(rsi, (FAR + 6) * 4096);
    g.asm.mov(rax, MAGIC);
    g.asm.mov(at(rsi), rax);
    g.print("\n");
  });
  const system = systemWith(guest);
  const { p2m } = system.domain;
  const gfn = FAR;
  expect([p2m.leafLevel(gfn), reverseMap(system).read(p2m.translate(gfn)).large]).toEqual([2, true]);
  expect(run(system).reason).toBe("shutdown");
  expect(system.console).toBe("0 \n");
  expect(system.exitAccounts().find(({ name }) => name === "npf")?.count).toBe(1);
  expect(p2m.leafLevel(gfn)).toBe(1);
  const valid = [4, 5, 6].map((n) => reverseMap(system).read(p2m.translate(gfn + n)));
  expect(valid.map(({ large, validated }) => [large, validated])).toEqual([
    [false, true],
    [false, false],
    [false, true],
  ]);
});

const SECRET = 0x5ec7e7n;
/** Keeps a secret in its page, makes a call, and shows what is there then. */
const keeper = defineGuest("keeper", (g) => {
  const { asm } = g;
  const page = privatePage(g);
  asm.mov(rax, SECRET);
  asm.mov(atLabel(page), rax);
  asm.mov(rsi, physicalAddress(page));
  g.hypercall.sched.yield();
  g.print("there=");
  const value = g.variable();
  asm.mov(value.register, atLabel(page));
  g.printHex(value);
  g.print("\n");
});

/** Lets a hypervisor that is not honest act at the guest's yield. @param act is told the guest frame with the secret */
function attacked(act: (system: XenSystem, gfn: number) => void): {
  readonly end: string;
  readonly said: string;
} {
  const system = systemWith(keeper, { abi: "fastabi" });
  const { memory } = system.processor;
  const { p2m } = system.domain;
  let done = false;
  system.on("hypercall", ({ operation }) => {
    if (operation !== "sched.yield" || done) return;
    done = true;
    const gfn = Array.from({ length: 64 }, (_, i) => 0x200 + i).find((each) => {
      const name = encryptedFrame(p2m.translate(each), ASID);
      return (
        reverseMap(system).isAssigned(p2m.translate(each)) && memory.readU32(name * 4096) === Number(SECRET)
      );
    });
    act(system, gfn!);
  });
  const outcome = run(system);
  expect(done).toBe(true);
  return { end: outcome.detail ?? outcome.reason, said: system.console };
}

test("without an attack the secret is there", () => {
  expect(attacked(() => {})).toEqual({ end: "shutdown", said: `there=0x${SECRET.toString(16)}\n` });
});

test("reading gives ciphertext, writing is refused and leaves no trace", () => {
  const { said } = attacked(({ domain }, gfn) => {
    expect(domain.guestMemory.readU32(gfn * 4096)).not.toBe(Number(SECRET));
    for (const write of [
      () => domain.guestMemory.writeU32(gfn * 4096, 7),
      () => domain.guestMemory.writeU8(gfn * 4096, 7),
      () => domain.guestMemory.writeBytes(gfn * 4096 - 4, new Uint8Array(8)),
    ])
      expect(write).toThrow(GuestAddressError);
  });
  expect(said).toBe(`there=0x${SECRET.toString(16)}\n`);
});

test("another frame of the guest's in its place: the domain ends before it reads it", () => {
  const { end, said } = attacked(({ domain }, gfn) =>
    domain.p2m.setEntry(gfn, domain.p2m.translate(gfn + 512)),
  );
  expect(end).toMatch(/private read of guest frame 0x[0-9a-f]+: the reverse map forbids it/);
  expect(said).toBe("");
});

test("the same frame under two addresses: the second one is a violation", () => {
  const { end, said } = attacked((system, gfn) => {
    const { p2m } = system.domain;
    const old = p2m.translate(gfn);
    const { ownership } = p2m;
    // Not even told Xen's own bookkeeping: the table entry alone.
    p2m.ownership = undefined;
    p2m.setEntry(gfn, p2m.translate(gfn + 512));
    p2m.setEntry(gfn + 512, old);
    p2m.ownership = ownership;
  });
  expect(end).toMatch(/the reverse map forbids it/);
  expect(said).toBe("");
});

test("old contents put back through a page that was Xen's meanwhile: not valid any more", () => {
  const { end, said } = attacked((system, gfn) => {
    const { p2m, guestMemory } = system.domain;
    const old = guestMemory.readBytes(gfn * 4096, 4096);
    const pages = new SecurePages(reverseMap(system), system.processor.mmu, p2m, ASID);
    const mfn = p2m.translate(gfn);
    pages.share(gfn, mfn);
    guestMemory.writeBytes(gfn * 4096, old);
    pages.assign(gfn, mfn);
  });
  expect(end).toMatch(/asked to be terminated/);
  expect(said).toBe("");
});

test("given to another owner: the domain ends", () => {
  const { end, said } = attacked((system, gfn) => {
    const map = reverseMap(system);
    const mfn = system.domain.p2m.translate(gfn);
    map.write(mfn, { ...map.read(mfn), asid: 2 });
    system.domain.p2m.onChange?.();
  });
  expect(end).toMatch(/the reverse map forbids it/);
  expect(said).toBe("");
});

test("a VMSA that is none to the reverse map is refused by VMRUN", () => {
  const system = systemWith(runstateLoop);
  const map = reverseMap(system);
  const { vmsaFrame } = system.vcpus[0].control.encrypted!;
  map.write(vmsaFrame, { ...map.read(vmsaFrame), vmsa: false });
  expect(run(system).reason).toBe("invalid-state");
});

/** A guest that puts a value into the GHCB MSR, makes VMGEXIT and then dies of what it has no handler for. */
const byMsr = (low: number, high: number) =>
  defineGuest("MSR protocol", (g) => {
    const { asm } = g;
    asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0); // mov ecx, c0010130h
    asm.mov(eax, low);
    asm.mov(edx, high);
    asm.plain("wrmsr");
    asm.plain("vmgexit");
    asm.plain("rdmsr");
    asm.plain("ud2");
  });

function answerTo(
  low: number,
  high: number,
): { readonly lo: number; readonly hi: number; readonly end: string } {
  const system = systemWith(byMsr(low | 0, high | 0));
  const outcome = run(system);
  const { encrypted } = system.vcpus[0].control;
  return {
    lo: encrypted!.ghcbLo >>> 0,
    hi: encrypted!.ghcbHi >>> 0,
    end: outcome.detail ?? outcome.reason,
  };
}

test("the MSR protocol registers a GHCB and changes one page, and says when it does not", () => {
  const state = (gfn: number, operation: number) =>
    answerTo((gfn << 12) | GhcbInfo.PageStateRequest, (operation << 20) | Math.floor(gfn / 0x100000));
  const done = { lo: GhcbInfo.PageStateResponse, hi: 0 };
  const refused = { lo: GhcbInfo.PageStateResponse, hi: 1 };
  expect(state(FAR, PageOperation.Shared)).toMatchObject(done);
  expect(state(FAR, PageOperation.Private)).toMatchObject(done); // which it is
  expect(state(FAR, 5)).toMatchObject(refused);
  expect(state(FRAMES, PageOperation.Shared)).toMatchObject(refused); // past the end of RAM
  expect(state(0xfeffc, PageOperation.Private)).toMatchObject(refused); // a ring of xenstore's
  expect(state(2 ** 39, PageOperation.Shared)).toMatchObject(refused);
  expect(answerTo((FAR * 4096) | GhcbInfo.RegisterRequest, 0)).toMatchObject({
    lo: (FAR * 4096) | GhcbInfo.RegisterResponse,
    hi: 0,
  });
  expect(answerTo(0xf000_0000 | GhcbInfo.RegisterRequest, 7)).toMatchObject({
    lo: 0xfffff000 + GhcbInfo.RegisterResponse,
    hi: 0xffffffff,
  });
});

test("a GHCB that is not registered, or is private, ends the domain", () => {
  expect(answerTo(FAR * 4096, 0).end).toMatch(/not registered/);
  const guest = defineGuest("private GHCB", (g) => {
    const { asm } = g;
    const page = privatePage(g);
    for (const info of [GhcbInfo.RegisterRequest, 0]) {
      asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0);
      asm.mov(eax, physicalAddress(page));
      asm.alu("or", eax, info);
      asm.mov(edx, 0);
      asm.plain("wrmsr");
      asm.plain("vmgexit");
    }
  });
  expect(run(systemWith(guest)).detail).toMatch(/no shared RAM at the GHCB's frame/);
});

test("a guest that has its own page tables shared ends at its next walk, and Xen does not", () => {
  const guest = defineGuest("own tables", (g) => {
    const { asm } = g;
    asm.movFromControl(rax, 3);
    asm.shift("shl", rax, 13);
    asm.shift("shr", rax, 25);
    asm.shift("shl", rax, 12);
    asm.alu("or", eax, GhcbInfo.PageStateRequest);
    asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0);
    asm.mov(edx, PageOperation.Shared << 20);
    asm.plain("wrmsr");
    asm.plain("vmgexit");
    asm.plain("rdmsr");
  });
  expect(run(systemWith(guest)).detail).toMatch(/private .* of guest frame .*: the reverse map forbids it/);
});

/** Fills the GHCB at each VMGEXIT with what the test says. */
const requests = defineGuest("requests", (g) => {
  g.repeat(g.iterations, () => g.asm.plain("vmgexit"));
});

interface List {
  readonly current: number;
  readonly end: number;
  readonly entries: readonly bigint[];
  readonly scratch?: number;
}

const entryOf = (gfn: number, operation: number, large = 0, done = 0) =>
  BigInt(done) | (BigInt(gfn) << 12n) | (BigInt(operation) << 52n) | (BigInt(large) << 56n);

/** Asks for lists of page state changes, one a VMGEXIT. @returns SW_EXITINFO1 and 2 and the list's current entry after each */
function listed(lists: readonly List[], watch: (system: XenSystem) => void = () => {}) {
  const system = systemWith(requests, { iterations: lists.length + 1 });
  watch(system);
  const { guestMemory } = system.domain;
  const { encrypted } = system.vcpus[0].control;
  const answers: (readonly number[])[] = [];
  let params = 0;
  let next = -1;
  system.on("hypercall", ({ operation }) => {
    if (operation === "hvm.get_param") params++;
  });
  system.on("vm-exit", ({ name }) => {
    if (name !== "vmgexit" || params < 2 || next > lists.length) return;
    const page = encrypted!.ghcbLo;
    if ((page & 0xfff) !== 0) return;
    const u32 = (offset: number) => guestMemory.readU32(page + offset);
    // The first after the console's look-ups is that of the last of them.
    if (next >= 0)
      answers.push([u32(Ghcb.SwExitInfo1), u32(Ghcb.SwExitInfo2), u32(Ghcb.SharedBuffer) & 0xffff]);
    const list = lists[++next];
    if (list !== undefined) writeList(system, page, list);
  });
  const outcome = run(system);
  return { answers: answers.slice(0, lists.length), system, outcome };
}

function writeList(system: XenSystem, page: number, { current, end, entries, scratch }: List): void {
  const { guestMemory } = system.domain;
  guestMemory.writeBytes(page, new Uint8Array(4096));
  const u64 = (offset: number, value: bigint) => {
    guestMemory.writeU32(page + offset, Number(value & 0xffffffffn));
    guestMemory.writeU32(page + offset + 4, Number(value >> 32n));
  };
  u64(Ghcb.SwExitCode, BigInt(PAGE_STATE_EVENT >>> 0));
  u64(Ghcb.SwScratch, BigInt(scratch ?? page + Ghcb.SharedBuffer));
  const bitmap = [0, 0, 0, 0];
  for (const offset of [Ghcb.SwExitCode, Ghcb.SwExitInfo1, Ghcb.SwExitInfo2, Ghcb.SwScratch]) {
    const { word, bit } = validBit(offset);
    bitmap[word] |= bit;
  }
  bitmap.forEach((bits, i) => {
    guestMemory.writeU32(page + Ghcb.ValidBitmap + 4 * i, bits >>> 0);
  });
  guestMemory.writeU32(page + Ghcb.SharedBuffer, current | (end << 16));
  entries.forEach((entry, i) => {
    u64(Ghcb.SharedBuffer + 8 + 8 * i, entry);
  });
}

test("lists of pages are worked through, and stop at the first entry that makes no sense", () => {
  const { Private, Shared } = PageOperation;
  const { answers, system } = listed([
    { current: 0, end: 1, entries: [entryOf(FAR, Shared), entryOf(FAR + 1, Shared)] },
    {
      current: 0,
      end: 2,
      entries: [entryOf(FAR, Private), entryOf(0x9999999, Shared), entryOf(FAR + 1, Private)],
    },
    { current: 3, end: 2, entries: [] },
    { current: 0, end: 400, entries: [] },
    { current: 0, end: 0, entries: [entryOf(FAR, Shared)], scratch: FAR * 4096 },
    { current: 0, end: 0, entries: [entryOf(FAR + 3, Shared, 1)] },
    { current: 0, end: 1, entries: [entryOf(0x800, Shared, 1), entryOf(0xa00, Shared, 1)] },
    { current: 0, end: 0, entries: [entryOf(0xa00, Shared, 1, 100)] },
    // More is done than there is.
    { current: 0, end: 0, entries: [entryOf(FAR, Shared, 0, 2)] },
    { current: 0, end: 0, entries: [entryOf(0xa00, Shared, 1, 513)] },
  ]);
  expect(answers).toEqual([
    [0, 0, 2],
    [0, 2, 1],
    [0, 1, 3],
    [0, 1, 0],
    [2, 3, 0],
    [0, 2, 0],
    // 512 pages at once: the second entry is for the guest to ask for again.
    [0, 0, 1],
    [0, 0, 1],
    [0, 2, 0],
    [0, 2, 0],
  ]);
  const { p2m } = system.domain;
  const isAssigned = (gfn: number) => reverseMap(system).isAssigned(p2m.translate(gfn));
  expect([FAR, FAR + 1, 0x800, 0x9ff, 0xa00, 0xa63, 0xa64, 0xbff, 0x7ff].map(isAssigned)).toEqual([
    true,
    false,
    false,
    false,
    true,
    true,
    false,
    false,
    true,
  ]);
});

test("hostile lists leave every page with one owner and one reference", () => {
  let seed = 20261122;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const frames = [0, 0x1ff, 0x200, 0x210, 0x220, FAR, FRAMES - 1, FRAMES, 0xfeff8, 0xfeffc, 0xfee00];
  const list = (): List => ({
    current: random(3),
    end: random(6),
    entries: Array.from({ length: 6 }, () =>
      random(8) === 0
        ? (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
        : entryOf(
            random(3) === 0 ? random(FRAMES + 0x200) : frames[random(frames.length)],
            random(5),
            Number(random(6) === 0),
            random(4) === 0 ? random(600) : 0,
          ),
    ),
  });
  for (let round = 0; round < 3; round++) {
    const { outcome, system } = listed(Array.from({ length: 40 }, list));
    expect(["shutdown", "halted", "budget", "triple-fault"]).toContain(outcome.reason);
    const { p2m } = system.domain;
    for (let gfn = 0; gfn < FRAMES; gfn += 3) {
      const mfn = p2m.translate(gfn);
      const entry = reverseMap(system).read(mfn);
      if (entry.assigned)
        expect([entry.asid, entry.gfn]).toEqual([ASID, entry.large ? gfn - (gfn % 512) : gfn]);
      expect(entry.large).toBe(p2m.leafLevel(gfn) > 1);
      expect(system.frameTable.references(mfn)).toBe(1);
    }
  }
});

test("a page that Xen keeps mapped stays shared", () => {
  const guest = defineGuest("registered", (g) => {
    const area = g.buffer(4096, 4096);
    const frame = g.frameOf(area);
    g.hypercall.vcpu.registerVcpuInfo({ vcpuid: 0, mfn: frame, offset: 0 });
    const { asm } = g;
    asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0);
    asm.mov(eax, physicalAddress(area.label));
    asm.alu("or", eax, GhcbInfo.PageStateRequest);
    asm.mov(edx, PageOperation.Private << 20);
    asm.plain("wrmsr");
    asm.plain("vmgexit");
    asm.plain("ud2");
  });
  const system = systemWith(guest, { abi: "fastabi" });
  run(system);
  expect(system.vcpus[0].control.encrypted!.ghcbHi).toBe(1);
});

test("private pages cannot be registered, granted or have Xen's events put into them", () => {
  const guest = defineGuest("private areas", (g) => {
    const page = privatePage(g);
    const frame = g.variable();
    g.asm.mov(frame.register, physicalAddress(page));
    g.asm.shift("shr", frame.register, 12);
    const show = (result: { result(): { register: unknown; release(): void } }) => {
      const value = result.result();
      g.printHex(value as never);
      g.print(" ");
      value.release();
    };
    show(g.hypercall.vcpu.registerVcpuInfo({ vcpuid: 0, mfn: frame, offset: 0 }));
    show(g.hypercall.eventChannel.initControl({ controlGfn: frame, offset: 0, vcpu: 0 }));
    g.print("\n");
  });
  const system = systemWith(guest, { abi: "fastabi" });
  expect(run(system).reason).toBe("shutdown");
  const invalid = (2n ** 64n - 22n).toString(16);
  expect(system.console).toBe(`0x${invalid} 0x${invalid} \n`);
});

test("memory that goes back and forth becomes Xen's, and the guest's by a page state change alone", () => {
  const balloon = (again: boolean) =>
    defineGuest("balloon", (g) => {
      const list = g.buffer(8, 8);
      g.asm.mov(rax, FAR);
      g.asm.mov(atLabel(list.label), rax);
      for (const call of ["decreaseReservation", "populatePhysmap"] as const) {
        const result = g.hypercall.memory[call]({
          extentStart: list,
          nrExtents: 1,
          extentOrder: 0,
          memFlags: 0,
          domid: 0x7ff0,
        }).result();
        g.printDecimal(result);
        g.print(" ");
        result.release();
      }
      g.print("\n");
      const { asm } = g;
      const set = () => {
        asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0);
        asm.mov(eax, (FAR << 12) | GhcbInfo.PageStateRequest);
        asm.mov(edx, PageOperation.Private << 20);
        asm.plain("wrmsr");
        asm.plain("vmgexit");
        asm.mov(rax, FAR << 12);
        asm.mov(ecx, 0);
        asm.mov(edx, 1);
        asm.plain("pvalidate");
      };
      if (again) set();
      asm.mov(rsi, FAR << 12);
      asm.mov(rax, MAGIC);
      asm.mov(at(rsi), rax);
      asm.plain("ud2");
    });
  const [before, after] = [false, true].map((again) => {
    const system = systemWith(balloon(again));
    const { detail } = run(system);
    expect(system.console).toBe("1 1 \n");
    const mfn = system.domain.p2m.translate(FAR);
    return { detail, entry: reverseMap(system).read(mfn) };
  });
  expect(before.detail).toMatch(/private write of guest frame 0xc00: the reverse map forbids it/);
  expect(before.entry.assigned).toBe(false);
  expect(after.detail).not.toMatch(/reverse map/);
  expect(after.entry).toMatchObject({ assigned: true, validated: true, gfn: FAR, asid: ASID });
});

test("the registered GHCB is part of a snapshot, and a bad one is refused", () => {
  const system = systemWith(runstateLoop);
  system.run({ maxInstructions: 15000 });
  const taken = system.snapshot();
  const registered = taken.vcpus[0].requests!.registered;
  expect(registered).toBe(system.vcpus[0].control.encrypted!.ghcbLo / 4096);
  for (const bad of [-2, 0.5, 2 ** 53]) {
    const vcpus = [{ ...taken.vcpus[0], requests: { registered: bad } }];
    expect(() => systemWith(runstateLoop).restore({ ...taken, vcpus })).toThrow(/GHCB/);
  }
  const again = systemWith(runstateLoop);
  again.restore(decodeSnapshot(encodeSnapshot(taken)));
  expect(again.snapshot().vcpus[0].requests).toEqual({ registered });
  expect(again.processor.state.words[State.Cr3Lo]).toBe(system.processor.state.words[State.Cr3Lo]);
});

test("the hypervisor's part is in the list of estimates, with its ranges", () => {
  const system = systemWith(runstateLoop);
  run(system);
  const keys = system.estimates().map(({ key }) => key);
  for (const key of ["sev.pvalidate", "sev.rmpupdate", "sev.psmash", "stage.page state change: one page"])
    expect(keys).toContain(key);
  const plain = systemWith(runstateLoop, { kind: "sev-es" });
  run(plain);
  expect(plain.estimates().some(({ key }) => key === "sev.pvalidate")).toBe(false);
});
