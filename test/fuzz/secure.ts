import { epyc7763, epyc9124 } from "@hyperwalk/cpu";
import {
  type Assembler,
  at,
  defineGuest,
  eax,
  ecx,
  edi,
  edx,
  type GuestProgram,
  physicalAddress,
  r10,
  rax,
  rdx,
  rsi,
} from "@hyperwalk/guest-sdk";
import { createXenSystem, GhcbInfo, type XenSystem } from "@hyperwalk/xen";
import { runSystem } from "./checks.js";
import { check, type FuzzKind } from "./fuzz-kind.js";
import type { Random } from "./random.js";

const FRAMES = 0x600;
const START = 60_000;
const BUDGET = 4000;
const PIECES = 30;

/**
 * SEV-SNP guests that validate, share and take back pages at random, their own image among them, touch them either way, and
 * name them in hypercalls. Xen never writes to a page that is the guest's, and each page has one owner and one place.
 */
export const securePages: FuzzKind = {
  name: "secure pages",
  typed: [],
  run: (random) => {
    const abi = random.pick(["physaddr", "fastabi", "linear"] as const);
    const guest = defineGuest("secure pages", (g) => {
      g.repeat(50, () => {
        for (let i = 0; i < PIECES; i++) piece(g, random);
      });
    });
    const image = guest.build({ abi, vendor: "amd", confidential: "sev-snp", iterations: 1 });
    const p2mPage = random.pick(["4k", "2m"] as const);
    const system = createXenSystem({
      profile: random.pick([epyc9124, epyc7763]),
      domain: { image, memoryBytes: FRAMES * 4096, abi, confidential: "sev-snp", p2mPage },
    });
    const violations = watchWrites(system);
    runSystem(system, START);
    runSystem(system, BUDGET);
    check(violations.length === 0, () => `Xen wrote to private frames ${[...new Set(violations)]}`);
    checkPages(system);
  },
};

/** Notes the frames of the guest's own that Xen writes to. */
function watchWrites({ cost, processor }: XenSystem): readonly number[] {
  const seen: number[] = [];
  const map = processor.mmu.reverseMap;
  const access = cost.access.bind(cost);
  cost.access = (frame, offset, bytes, write) => {
    if (write && map?.isAssigned(frame)) seen.push(frame);
    return access(frame, offset, bytes, write);
  };
  return seen;
}

function checkPages({ domain, processor, frameTable }: XenSystem): void {
  const { p2m } = domain;
  const map = processor.mmu.reverseMap!;
  for (let gfn = 0; gfn < FRAMES; gfn++) {
    const mfn = p2m.translate(gfn);
    if (mfn < 0) continue;
    const entry = map.read(mfn);
    const place = entry.large ? gfn - (gfn % 512) : gfn;
    check(
      !entry.assigned || entry.gfn === place,
      () => `frame 0x${gfn.toString(16)} is 0x${entry.gfn.toString(16)}'s`,
    );
    check(
      !entry.large || p2m.leafLevel(gfn) > 1,
      () => `frame 0x${gfn.toString(16)} is part of 2 MiB in one table alone`,
    );
    const references = frameTable.references(mfn);
    check(
      references === 1 || !entry.assigned,
      () => `${references} references on private frame 0x${gfn.toString(16)}`,
    );
  }
}

/** A page of RAM, of the image, or of neither. */
function pageOf(random: Random): number {
  switch (random.below(4)) {
    case 0:
      return random.below(FRAMES + 16) << 12;
    case 1:
      return (0x200 + random.below(32)) << 12;
    case 2:
      return 0x400000 + (random.below(2) << 21);
    default:
      return random.value() & -4096;
  }
}

function piece(g: GuestProgram, random: Random): void {
  const { asm } = g;
  switch (random.below(6)) {
    case 0:
      asm.mov(rax, pageOf(random));
      asm.mov(ecx, random.oneIn(3) ? 1 : 0);
      asm.mov(edx, random.oneIn(8) ? random.value() | 0 : random.below(2));
      asm.plain(random.oneIn(5) ? "rmpadjust" : "pvalidate");
      return;
    case 1:
      byMsr(asm, random);
      return;
    case 2:
      // RAM that is mapped one to one, privately.
      asm.mov(rsi, random.below(FRAMES) << 12);
      if (random.oneIn(2)) asm.mov(at(rsi, random.below(4096)), rax);
      else asm.mov(rax, at(rsi, random.below(4096)));
      return;
    case 3: {
      const buffer = g.buffer(64);
      asm.mov(edi, 4);
      asm.mov(rsi, 0);
      if (random.oneIn(3)) asm.mov(rdx, physicalAddress(buffer.label));
      else asm.mov(rdx, pageOf(random) + random.below(4096));
      asm.mov(r10, 0);
      asm.mov(eax, 24);
      asm.plain("vmmcall");
      return;
    }
    case 4:
      g.hypercall.sched.yield();
      return;
    default:
      asm.plain("vmgexit");
  }
}

/** A page's state, or the place of the GHCB, by the MSR; the register is put back where the guest is to go on. */
function byMsr(asm: Assembler, random: Random): void {
  const page = pageOf(random);
  const info = random.oneIn(10) ? GhcbInfo.RegisterRequest : GhcbInfo.PageStateRequest;
  asm.mov(ecx, 0xc0010130);
  asm.plain("rdmsr");
  asm.push(rax);
  asm.push(rdx);
  asm.mov(eax, (page | info) >>> 0);
  asm.mov(edx, (random.oneIn(8) ? random.below(16) : 1 + random.below(2)) << 20);
  asm.plain("wrmsr");
  asm.plain("vmgexit");
  asm.pop(rdx);
  asm.pop(rax);
  if (!random.oneIn(12)) asm.plain("wrmsr");
}
