import { epyc7763, epyc9124, type ProcessorProfile, State, sapphireRapids, VmcbOffset } from "@hyperwalk/cpu";
import {
  type Assembler,
  at,
  atLabel,
  defineGuest,
  eax,
  edi,
  type Guest,
  type Label,
  physicalAddress,
  r8,
  r10,
  rax,
  rdi,
  rdx,
  rsi,
  runstateLoop,
} from "@hyperwalk/guest-sdk";
import {
  type ConfidentialKind,
  createXenSystem,
  decodeSnapshot,
  encodeSnapshot,
  Ghcb,
  GhcbAnswer,
  GhcbInfo,
  type HypercallAbiName,
  validBit,
  XenConfigError,
  type XenSystem,
} from "@hyperwalk/xen";
import { expect, test } from "vitest";

const EFAULT = 14;
const ABIS: readonly HypercallAbiName[] = ["linear", "physaddr", "fastabi"];
const KINDS: readonly ConfidentialKind[] = ["sev", "sev-es", "sev-snp"];
const VMCALL_RUNSTATE = { hypercall: 24, subop: 4 } as const;

interface Setup {
  readonly abi?: HypercallAbiName;
  readonly kind?: ConfidentialKind | undefined;
  readonly profile?: ProcessorProfile;
  readonly iterations?: number;
  readonly leaf?: "4k" | "2m";
}

function systemWith(guest: Guest, setup: Setup = {}): XenSystem {
  const { abi = "physaddr", kind, profile = epyc9124, iterations = 20, leaf = "4k" } = setup;
  const image = guest.build({ abi, vendor: "amd", confidential: kind, iterations, leaf });
  return createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi, confidential: kind },
    accounting: true,
  });
}

/** Runs the guest and counts `operation result`. */
function callsOf(system: XenSystem): ReadonlyMap<string, number> {
  const calls = new Map<string, number>();
  system.on("hypercall", ({ operation, result }) => {
    const key = `${operation} ${result}`;
    calls.set(key, (calls.get(key) ?? 0) + 1);
  });
  system.run({ maxInstructions: 2e6 });
  return calls;
}

for (const kind of KINDS)
  for (const profile of [epyc9124, epyc7763])
    test(`${kind} on ${profile.id}: linear calls are -EFAULT, physaddr and FastABI work`, () => {
      for (const abi of ABIS) {
        const calls = callsOf(systemWith(runstateLoop, { abi, kind, profile }));
        const wanted = abi === "linear" ? -EFAULT : 0;
        expect(calls.get(`vcpu.get_runstate_info ${wanted}`)).toBe(84);
        expect([...calls.keys()].filter((key) => key.startsWith("vcpu.")).length).toBe(1);
      }
    });

test("a guest that is not encrypted has the same calls succeed, and costs what it did", () => {
  for (const abi of ABIS)
    expect(callsOf(systemWith(runstateLoop, { abi })).get("vcpu.get_runstate_info 0")).toBe(84);
});

test("guests end by a hypercall where they have one that works, and stay halted where they have none", () => {
  const ends = KINDS.flatMap((kind) =>
    ABIS.map((abi) => systemWith(runstateLoop, { abi, kind }).run({ maxInstructions: 2e6 }).reason),
  );
  expect(ends).toEqual(KINDS.flatMap(() => ["halted", "shutdown", "shutdown"]));
});

test("SEV-ES leaves by VMGEXIT and by automatic exits alone; SEV as any guest does", () => {
  const exits = (kind: ConfidentialKind, abi: HypercallAbiName) => {
    const system = systemWith(runstateLoop, { abi, kind });
    system.run({ maxInstructions: 2e6 });
    return system.exitAccounts().map(({ name }) => name);
  };
  expect(exits("sev-es", "fastabi")).toEqual(["vmgexit"]);
  expect(exits("sev-es", "linear").sort()).toEqual(["hlt", "vmgexit"]);
  expect(exits("sev", "fastabi").sort()).toEqual(["cpuid", "msr", "vmmcall"]);
});

test("the bounce buffer's copies are guest instructions, the GHCB's detour is in the ledger", () => {
  const window = (kind: ConfidentialKind | undefined, abi: HypercallAbiName) => {
    const system = systemWith(runstateLoop, { abi, kind, iterations: 200 });
    system.run({ maxInstructions: 2e6 });
    const { counters, hypercalls, cycles } = system.window!;
    return { instructions: counters.guestInstructions / hypercalls, cycles: cycles / hypercalls };
  };
  const plain = window(undefined, "physaddr");
  const sev = window("sev", "physaddr");
  // Six words out of shared memory, each a load and a store; CALL and RET of the hypercall page are gone.
  expect(sev.instructions - plain.instructions).toBeGreaterThan(9.5);
  const fast = window(undefined, "fastabi");
  expect(window("sev", "fastabi").instructions).toBeCloseTo(fast.instructions, 1);
  const encrypted = window("sev-es", "fastabi");
  expect(encrypted.instructions - fast.instructions).toBeGreaterThan(20);
  expect(encrypted.cycles).toBeGreaterThan(1.3 * fast.cycles);
});

const secret = "only the guest reads this line";
const withSecret = defineGuest("secret", (g) => {
  g.print(`${secret}\n`);
});

test("the hypervisor finds the guest's text in a plain guest's memory, and not in an encrypted one's", () => {
  const bytesOf = (kind: ConfidentialKind | undefined) => {
    const system = systemWith(withSecret, { kind });
    expect(system.run({ maxInstructions: 2e6 }).reason).toBe("shutdown");
    expect(system.console).toBe(`${secret}\n`);
    const bytes = system.domain.guestMemory.readBytes(0x200000, 0x20000);
    return Buffer.from(bytes).includes(secret);
  };
  expect([undefined, ...KINDS].map(bytesOf)).toEqual([true, false, false, false]);
});

/** One get_runstate_info by the physaddr interface, with a pointer to that memory, then what the guest sees there. */
const callWith = (pointer: (g: Parameters<Parameters<typeof defineGuest>[1]>[0]) => Label) =>
  defineGuest("private buffer", (g) => {
    const label = pointer(g);
    const { asm } = g;
    asm.mov(edi, VMCALL_RUNSTATE.subop);
    asm.mov(rsi, 0);
    asm.mov(rdx, physicalAddress(label));
    asm.mov(r10, 0);
    asm.mov(r8, 0);
    asm.mov(eax, VMCALL_RUNSTATE.hypercall);
    asm.plain("vmmcall");
    const result = g.variable();
    asm.mov(result.register, rax);
    g.print("result=");
    g.printHex(result);
    asm.mov(result.register, atLabel(label));
    g.print(" state=");
    g.printHex(result);
    g.print("\n");
  });

const stateOf = (system: XenSystem) => {
  system.run({ maxInstructions: 2e6 });
  return /result=0x0+ state=0x([0-9a-f]+)/.exec(system.console)?.[1];
};

// What becomes of one in an SEV-SNP domain is in secure-pages.test.ts.
for (const kind of ["sev", "sev-es"] as const)
  test(`${kind}: a result that Xen writes to a private page decrypts to something else`, () => {
    const shared = callWith((g) => g.buffer(64).label);
    const own = callWith((g) => {
      const label = g.asm.label("private");
      const over = g.asm.label("over");
      g.asm.jmp(over);
      g.asm.align(4096);
      g.asm.bind(label);
      g.asm.zeros(4096);
      g.asm.bind(over);
      return label;
    });
    expect(Number.parseInt(stateOf(systemWith(shared, { kind }))!, 16)).toBe(0);
    expect(Number.parseInt(stateOf(systemWith(own))!, 16)).toBe(0);
    // The first block of 16 bytes was garbled.
    expect(Number.parseInt(stateOf(systemWith(own, { kind }))!, 16)).toBeGreaterThan(0xffff);
  });

test("SEV-ES: between exit and entry the VMCB and the processor's registers show nothing of the guest", () => {
  const system = systemWith(runstateLoop, { kind: "sev-es", abi: "fastabi" });
  const { hardware, processor } = system;
  const seen = new Set<number>();
  system.on("vm-exit", () => {
    const { words } = processor.state;
    for (let i = 0; i < 32; i++) seen.add(words[State.Gpr + i]);
    for (const word of [State.Cr3Lo, State.RipLo, State.RipHi]) seen.add(words[word]);
    if (!("vmcb" in hardware)) throw new Error("an AMD guest has a VMCB");
    const { vmcb } = hardware as { vmcb: { word(offset: number): number } };
    for (const offset of [VmcbOffset.Rax, VmcbOffset.Rip, VmcbOffset.Rsp, VmcbOffset.Cr3, VmcbOffset.Cr0])
      seen.add(vmcb.word(offset));
  });
  expect(system.run({ maxInstructions: 2e6 }).reason).toBe("shutdown");
  expect([...seen]).toEqual([0]);
});

for (const kind of KINDS)
  for (const abi of ABIS)
    test(`${kind} and ${abi}: a run in two parts with a snapshot between is the run in one`, () => {
      const whole = systemWith(runstateLoop, { kind, abi });
      const end = whole.run({ maxInstructions: 2e6 });
      const first = systemWith(runstateLoop, { kind, abi });
      expect(first.run({ maxInstructions: 1500 }).reason).toBe("budget");
      const second = systemWith(runstateLoop, { kind, abi });
      second.restore(decodeSnapshot(encodeSnapshot(first.snapshot())));
      expect(second.run({ maxInstructions: 2e6 - 1500 })).toEqual(end);
      expect([second.console, second.cycles]).toEqual([whole.console, whole.cycles]);
      expect(second.ledger.rows()).toEqual(whole.ledger.rows());
    });

test("a snapshot with views that memory cannot have is refused", () => {
  const system = systemWith(runstateLoop, { kind: "sev" });
  system.run({ maxInstructions: 1500 });
  const taken = system.snapshot();
  const [[frame, name]] = taken.memory.views;
  for (const views of [undefined, [[frame, frame]], [[frame, name + 1]], [[-1, name]], [[frame, 2 ** 41]]]) {
    const bad = { ...taken, memory: { ...taken.memory, views } };
    expect(() => systemWith(runstateLoop, { kind: "sev" }).restore(bad)).toThrow(/view/);
  }
});

/** Makes VMGEXIT over and over; a test fills the GHCB before each. */
const requests = defineGuest("requests", (g) => {
  g.repeat(g.iterations, () => g.asm.plain("vmgexit"));
});

interface Request {
  readonly code: number;
  readonly info1?: number;
  readonly fields?: Readonly<Record<number, bigint>>;
  readonly valid?: readonly number[];
}

/** Runs a guest whose n-th request after its own setup is that one, and collects the answers. */
function answersTo(asked: readonly Request[]): readonly { readonly kind: number; readonly info: number }[] {
  const system = systemWith(requests, { kind: "sev-es", iterations: asked.length + 1 });
  const { hardware, domain } = system;
  const answers: { kind: number; info: number }[] = [];
  let next = -1;
  const vmcb = (hardware as unknown as { vmcb: { word(offset: number): number } }).vmcb;
  system.on("vm-exit", ({ name }) => {
    const page = vmcb.word(VmcbOffset.GhcbMsr);
    if (name !== "vmgexit" || (page & 0xfff) !== GhcbInfo.Address) return;
    const { guestMemory } = domain;
    const u32 = (offset: number) => guestMemory.readU32(page + offset);
    // Those of the guest's own handler come with its own contents; the program's find the last answer.
    const own = u32(Ghcb.SwExitInfo1) <= 1 && next < 0 && u32(Ghcb.Usage + 4) === 0;
    if (own && !started) return;
    if (next >= 0 && next <= asked.length)
      answers.push({ kind: u32(Ghcb.SwExitInfo1), info: u32(Ghcb.SwExitInfo2) });
    next++;
    const request = asked[next];
    if (request !== undefined) writeRequest(system, page, request);
  });
  let started = false;
  system.on("hypercall", ({ operation }) => {
    // The console is known: what follows is the program.
    if (operation === "hvm.get_param" && ++params === 2) started = true;
  });
  let params = 0;
  system.run({ maxInstructions: 2e6 });
  return answers.slice(0, asked.length);
}

function writeRequest(system: XenSystem, page: number, request: Request): void {
  const { guestMemory } = system.domain;
  guestMemory.writeBytes(page, new Uint8Array(0x400));
  const { code, info1 = 0, fields = {}, valid } = request;
  const all = {
    [Ghcb.SwExitCode]: BigInt(code),
    [Ghcb.SwExitInfo1]: BigInt(info1),
    [Ghcb.SwExitInfo2]: 0n,
    ...fields,
  };
  const bitmap = new Int32Array(4);
  for (const [offset, value] of Object.entries(all)) {
    guestMemory.writeU32(page + Number(offset), Number(value & 0xffffffffn));
    if (Number(offset) !== Ghcb.Cpl)
      guestMemory.writeU32(page + Number(offset) + 4, Number((value >> 32n) & 0xffffffffn));
  }
  for (const offset of valid ?? Object.keys(all).map(Number)) {
    const { word, bit } = validBit(offset);
    bitmap[word] |= bit;
  }
  bitmap.forEach((bits, i) => {
    guestMemory.writeU32(page + Ghcb.ValidBitmap + 4 * i, bits >>> 0);
  });
}

test("requests without what they need, or that nobody knows, are refused with the reason", () => {
  const CPUID = 0x72;
  const MSR = 0x7c;
  const answers = answersTo([
    { code: CPUID, fields: { [Ghcb.Rax]: 0n, [Ghcb.Rcx]: 0n } },
    { code: CPUID, fields: { [Ghcb.Rax]: 0n } },
    { code: 0x7fff },
    { code: CPUID, valid: [] },
    { code: 0x7b, info1: 0xe9_0014, fields: { [Ghcb.Rax]: 0x41n } },
    { code: 0x7b, info1: 0xe9_0030, fields: { [Ghcb.Rax]: 0x41n } },
    { code: MSR, fields: { [Ghcb.Rcx]: 0xdeadn } },
    { code: 0x81, fields: { [Ghcb.Rax]: 17n } },
  ]);
  expect(answers).toEqual([
    { kind: GhcbAnswer.Done, info: 0 },
    { kind: GhcbAnswer.Refused, info: 4 },
    { kind: GhcbAnswer.Refused, info: 6 },
    { kind: GhcbAnswer.Refused, info: 4 },
    { kind: GhcbAnswer.Refused, info: 5 },
    { kind: GhcbAnswer.Refused, info: 5 },
    // #GP(0), as EVENTINJ has it.
    { kind: GhcbAnswer.Exception, info: 0x80000b0d },
    { kind: GhcbAnswer.Refused, info: 4 },
  ]);
});

test("hostile GHCBs end in an answer or in the domain's end, and leave no reference behind", () => {
  let seed = 12345;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const codes = [0x72, 0x7b, 0x7c, 0x81, 0x89, 0x78, 0x400, 0x80000010, random(2 ** 31)];
  const fields = [
    Ghcb.Cpl,
    Ghcb.Rax,
    Ghcb.Rcx,
    Ghcb.Rdx,
    Ghcb.Rbx,
    Ghcb.Rsi,
    Ghcb.Rdi,
    Ghcb.R8,
    Ghcb.R10,
    Ghcb.R12,
  ];
  const values = [0n, 1n, 2n, 24n, 29n, 12n, 0x40000018n, 0x4000001dn, 0x80000000n, 0x200000n, 0xfee00000n];
  const wide = () => (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
  for (let round = 0; round < 6; round++) {
    const asked: Request[] = Array.from({ length: 150 }, () => ({
      code: codes[random(codes.length)],
      info1: random(4) === 0 ? random(2 ** 32) : [0, 1, 0xe90210, 0xe90211, 0x400210][random(5)],
      fields: Object.fromEntries(
        fields
          .filter(() => random(5) !== 0)
          .map((offset) => [offset, random(3) === 0 ? wide() : values[random(values.length)]]),
      ),
    }));
    const system = systemWith(requests, { kind: "sev-es", iterations: asked.length });
    const vmcb = (system.hardware as unknown as { vmcb: { word(offset: number): number } }).vmcb;
    const pages = new Set<number>();
    let next = 0;
    system.on("vm-exit", ({ name }) => {
      const page = vmcb.word(VmcbOffset.GhcbMsr);
      if (name !== "vmgexit" || (page & 0xfff) !== 0) return;
      pages.add(page / 4096);
      if (system.domain.guestMemory.readU32(page + Ghcb.SwExitCode) !== 0x81 || next > 0) {
        if (next++ > 4) writeRequest(system, page, asked[next % asked.length]);
      }
    });
    const outcome = system.run({ maxInstructions: 200_000 });
    expect(["shutdown", "halted", "budget", "triple-fault"]).toContain(outcome.reason);
    for (const gfn of pages) {
      const mfn = system.domain.p2m.translate(gfn);
      if (mfn >= 0) expect(system.frameTable.references(mfn)).toBe(1);
    }
  }
});

test("the GHCB MSR's protocol answers what it knows and ends the domain for the rest", () => {
  const ends = (low: number, high = 0) => {
    const guest = defineGuest("msr protocol", (g) => {
      const { asm } = g;
      asm.raw(0xb9, 0x30, 0x01, 0x01, 0xc0); // mov ecx, c0010130h
      asm.mov(eax, low);
      asm.mov(rdx, high);
      asm.plain("wrmsr");
      asm.plain("vmgexit");
      asm.plain("rdmsr");
      asm.plain("ud2"); // no IDT entry: a triple fault tells that it came back
    });
    const outcome = systemWith(guest, { kind: "sev-es" }).run({ maxInstructions: 2e6 });
    return outcome.detail ?? outcome.reason;
  };
  expect(ends(GhcbInfo.SevInfoRequest)).toMatch(/double-fault|triple-fault/);
  expect(ends(GhcbInfo.CpuidRequest, 0x40000000)).toMatch(/double-fault|triple-fault/);
  expect(ends(GhcbInfo.FeaturesRequest)).toMatch(/double-fault|triple-fault/);
  expect(ends(GhcbInfo.TerminationRequest | 0x12000)).toMatch(
    /asked to be terminated \(reason set 2, reason 1\)/,
  );
  expect(ends(0x7ff)).toMatch(/GHCBInfo 0x7ff, which is no request/);
  expect(ends(0xfedc_b000 | 0)).toMatch(/no RAM at the GHCB's frame/);
});

test("a guest built without the option runs into nothing but its own ciphertext", () => {
  const image = runstateLoop.build({ abi: "linear", vendor: "amd", iterations: 4 });
  const system = createXenSystem({
    profile: epyc9124,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi: "linear", confidential: "sev" },
  });
  const outcome = system.run({ maxInstructions: 2e5 });
  expect(outcome.reason).not.toBe("shutdown");
});

/** Maps the image once more at 3 GiB, without the C-bit. */
function emitAlias(asm: Assembler): void {
  asm.movFromControl(rax, 3);
  for (const slot of [0, 3 * 8]) {
    asm.mov(rax, at(rax, slot));
    // Bits 50:12.
    asm.shift("shl", rax, 13);
    asm.shift("shr", rax, 25);
    asm.shift("shl", rax, 12);
  }
  asm.mov(rdx, 0x2000e3); // 2 MiB, writable, accessed, dirty
  asm.mov(at(rax), rdx);
}

test("code that reads itself without the C-bit sees ciphertext and goes on running", () => {
  const guest = defineGuest("alias", (g) => {
    const { asm } = g;
    emitAlias(asm);
    const differing = g.variable(0);
    g.repeat(g.iterations, () => {
      const here = asm.here("code");
      asm.mov(rax, physicalAddress(here));
      asm.mov(rdx, atLabel(here));
      asm.mov(rsi, 0xc0000000 - 0x200000);
      asm.alu("add", rsi, rax);
      asm.alu("cmp", rdx, at(rsi));
      const same = asm.label("same");
      asm.jcc("e", same);
      g.add(differing, 1);
      asm.bind(same);
    });
    g.print("differing=");
    g.printDecimal(differing);
    g.print("\n");
  });
  for (const kind of KINDS) {
    const system = systemWith(guest, { kind, iterations: 40 });
    expect(system.run({ maxInstructions: 2e6 }).reason).toBe("shutdown");
    expect(system.console).toBe("differing=40\n");
  }
});

test("a guest that writes over its image without the C-bit ends somehow, and the simulator does not", () => {
  const guest = defineGuest("overwriter", (g) => {
    const { asm } = g;
    emitAlias(asm);
    g.repeat(g.iterations, () => {
      asm.plain("rdtsc");
      asm.mov(edi, 0x9e3779b1);
      asm.imul(rdi, rax);
      asm.mov(rdx, rdi);
      asm.alu("and", rdx, 0x1fff8);
      asm.mov(rsi, 0xc0000000);
      asm.alu("add", rsi, rdx);
      asm.mov(at(rsi), rdi);
    });
  });
  for (const kind of KINDS) {
    const outcome = systemWith(guest, { kind, iterations: 2000 }).run({ maxInstructions: 20_000 });
    expect(outcome.reason).toMatch(/^(triple-fault|shutdown|halted|budget|unsupported-instruction)$/);
  }
});

test("a call that is preempted goes on by itself where the guest's instruction cannot be made again", () => {
  const ENTRIES = 64;
  const LISTS = 12;
  const guest = defineGuest("lists", (g) => {
    const list = g.buffer(ENTRIES * 64, 4096);
    g.hypercall.vcpu.setSingleshotTimer({ vcpuid: 0, timeoutAbsNs: 150_000, flags: 0 });
    const failed = g.variable(0);
    g.repeat(LISTS, () => {
      const result = g.hypercall.multicall.call({ callList: list, nrCalls: ENTRIES }).result();
      g.when(result, "ne", 0, () => g.add(failed, 1));
      result.release();
    });
    g.print("failed=");
    g.printDecimal(failed);
    g.print("\n");
  });
  const made = (kind: ConfidentialKind) => {
    const system = systemWith(guest, { kind });
    let lists = 0;
    system.on("hypercall", ({ number }) => {
      if (number === 13) lists++;
    });
    const exits = () => system.exitAccounts().find(({ name }) => /^vm(mcall|gexit)$/.test(name))?.count ?? 0;
    expect(system.run({ maxInstructions: 2e6 }).reason).toBe("shutdown");
    expect(system.console).toBe("failed=0\n");
    return { lists, exits: exits() };
  };
  // The timer expires within a list: its rest is another call, by another exit or within the same.
  const [sev, encrypted] = [made("sev"), made("sev-es")];
  expect([sev.lists, encrypted.lists]).toEqual([LISTS + 1, LISTS + 1]);
  // The version probe, console, timer, lists, their printing and the end; SEV-ES has CPUID and its own set-up on top.
  expect(encrypted.exits - sev.exits).toBeLessThan(8);
});

test("fast-forward and several processors go with encryption", () => {
  const image = runstateLoop.build({ abi: "fastabi", vendor: "amd", confidential: "sev", iterations: 20 });
  const system = createXenSystem({
    profile: epyc9124,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi: "fastabi", confidential: "sev", vcpus: 2 },
  });
  expect(system.fastForward({ instructions: 1200 }).ended).toBe("instructions");
  expect(system.run({ maxInstructions: 2e6 }).reason).toBe("shutdown");
  expect(system.console).toContain("per-call=");
});

test("what cannot be is refused with the key and what is allowed", () => {
  const image = runstateLoop.build({ abi: "fastabi", vendor: "amd", confidential: "sev" });
  const make = (profile: ProcessorProfile, domain: object) => () =>
    createXenSystem({ profile, domain: { image, memoryBytes: 64 * 2 ** 20, abi: "fastabi", ...domain } });
  const refusal = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      if (error instanceof XenConfigError) return error.key;
    }
    return undefined;
  };
  expect(refusal(make(sapphireRapids, { confidential: "sev" }))).toBe("domain.confidential");
  expect(refusal(make(epyc9124, { confidential: "snp" }))).toBe("domain.confidential");
  for (const confidential of ["sev-es", "sev-snp"])
    expect(refusal(make(epyc9124, { confidential, vcpus: 2 }))).toBe("domain.vcpus");
  expect(refusal(make(sapphireRapids, { confidential: "sev-snp" }))).toBe("domain.confidential");
  expect(refusal(make(epyc9124, { confidential: "sev-snp", boot: "multiboot" }))).toBe("domain.boot");
  expect(refusal(make(epyc9124, { confidential: "sev", boot: "hvm" }))).toBe("domain.boot");
  expect(() => runstateLoop.build({ abi: "fastabi", vendor: "intel", confidential: "sev" })).toThrow(/AMD/);
});
