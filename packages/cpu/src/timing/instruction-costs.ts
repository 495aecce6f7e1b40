import { ticks } from "@hyperwalk/mmu";
import type { OpcodeForm } from "../decode/opcode-map.js";
import type { CoreTiming } from "../profile.js";

/**
 * Instructions that are several micro-operations, in multiples of the issue cost. Counts are those that vendors'
 * optimisation guides give for current cores, rounded.
 */
const WEIGHTS: Readonly<Record<string, number>> = {
  xchg: 2,
  xadd: 3,
  cmpxchg: 5,
  cmpxchg8b: 18,
  leave: 2,
  enter: 12,
  pushf: 4,
  popf: 18,
  pusha: 9,
  popa: 9,
  lahf: 2,
  sahf: 2,
  rcl: 7,
  rcr: 7,
  shld: 6,
  shrd: 6,
  bsf: 6,
  bsr: 6,
  movsb: 5,
  movsw: 5,
  cmpsb: 5,
  cmpsw: 5,
  stosb: 3,
  stosw: 3,
  lodsb: 3,
  lodsw: 3,
  scasb: 4,
  scasw: 4,
  loop: 2,
  loope: 2,
  loopne: 2,
  jrcxz: 2,
  xlatb: 2,
  bound: 8,
  aam: 20,
  aad: 5,
  daa: 8,
  das: 8,
  aaa: 8,
  aas: 8,
  rdfsbase: 4,
  rdgsbase: 4,
  wrfsbase: 8,
  wrgsbase: 8,
  maskmovq: 30,
  maskmovdqu: 60,
  movq2dq: 2,
  movdq2q: 2,
  ...weigh(
    2,
    "pextrb pextrw pextrd extractps pinsrb pinsrw pinsrd ptest phminposuw pmovmskb movmskps movmskpd",
  ),
  ...weigh(3, "phaddw phaddd phaddsw phsubw phsubd phsubsw mpsadbw pblendvb blendvps blendvpd"),
  ...weigh(2, "aesimc aeskeygenassist sha1msg1 sha1msg2 sha256msg1"),
  ...weigh(4, "pclmulqdq sha1rnds4 sha256rnds2 sha256msg2 pcmpistri pcmpistrm"),
  ...weigh(8, "pcmpestri pcmpestrm"),
  ...weigh(
    2,
    "comiss comisd ucomiss ucomisd cvtsi2ss cvtsi2sd cvtss2si cvtsd2si cvttss2si cvttsd2si cvtps2pd cvtpd2ps",
  ),
  ...weigh(
    2,
    "cvtdq2pd cvtpd2dq cvttpd2dq cvtpi2ps cvtpi2pd cvtps2pi cvtpd2pi cvttps2pi cvttpd2pi roundps roundpd",
  ),
  ...weigh(2, "roundss roundsd stmxcsr"),
  ...weigh(4, "haddps haddpd hsubps hsubpd ldmxcsr"),
  ...weigh(8, "dpps dppd"),
  // Estimates between throughput and latency: the divider is one unit that starts anew every few cycles.
  ...weigh(8, "divss divps sqrtss sqrtps"),
  ...weigh(12, "divsd divpd sqrtsd sqrtpd"),
  // Estimates: microcode that stores or loads some thirty lines and halves of lines.
  ...weigh(80, "fxsave fxrstor"),
  ...weigh(120, "xsave xsaveopt xsavec xsaves xrstor xrstors"),
  ...weigh(8, "xgetbv"),
};

function weigh(weight: number, keys: string): Record<string, number> {
  return Object.fromEntries(keys.split(" ").map((key) => [key, weight]));
}

/**
 * The same for x87 instructions that are microcode or keep a unit busy; the others count as one. Estimates: vendors give
 * ranges that depend on operands.
 */
const X87_WEIGHTS: Readonly<Record<string, number>> = {
  fdiv: 12,
  fdivr: 12,
  fdivp: 12,
  fdivrp: 12,
  fidiv: 14,
  fidivr: 14,
  fiadd: 2,
  fisub: 2,
  fisubr: 2,
  fimul: 2,
  ficom: 2,
  ficomp: 2,
  fsqrt: 20,
  fprem: 30,
  fprem1: 40,
  frndint: 8,
  fscale: 12,
  fxtract: 8,
  fsin: 100,
  fcos: 100,
  fsincos: 130,
  fptan: 130,
  fpatan: 130,
  f2xm1: 70,
  fyl2x: 110,
  fyl2xp1: 110,
  fbld: 45,
  fbstp: 160,
  fcmovb: 2,
  fcmovnb: 2,
  fcmove: 2,
  fcmovne: 2,
  fcmovbe: 2,
  fcmovnbe: 2,
  fcmovu: 2,
  fcmovnu: 2,
  fldcw: 6,
  fnstcw: 2,
  fnstsw: 2,
  fnclex: 8,
  fninit: 20,
  fldenv: 60,
  fnstenv: 40,
  fnsave: 120,
  frstor: 100,
  emms: 2,
};

/**
 * Instructions that charge themselves when they execute, to the cause that fits (serialising, microcode, atomic):
 * their issue cost is nothing.
 */
const SELF_CHARGING = new Set(
  [
    "cpuid rdmsr wrmsr rdtsc rdtscp rdpmc hlt cli sti pause lfence mfence serialize wbinvd wbnoinvd invd invlpg invpcid",
    "lgdt lidt lldt ltr lmsw clts syscall sysret sysenter sysexit iret int int3 into int1 callf jmpf retf in out insb",
    "insw outsb outsw vmcall vmmcall swapgs xsetbv clac stac wrpkru clflush clflushopt clwb verr verw lar lsl",
  ]
    .join(" ")
    .split(" "),
);

/** Issue cost of one instruction form in ticks: what passes when nothing stalls. */
export class InstructionCosts {
  private readonly issue: number;
  private readonly multiply: number;
  private readonly divide32: number;
  private readonly divide64: number;

  constructor(timing: CoreTiming) {
    this.issue = ticks(timing.issue);
    this.multiply = ticks(timing.multiply);
    this.divide32 = ticks(timing.divide32);
    this.divide64 = ticks(timing.divide64);
  }

  /** @param operandSize log2 bytes of the operands */
  of(form: OpcodeForm, operandSize: number): number {
    const { key } = form;
    if (key === "mul" || key === "imul") return this.multiply;
    if (key === "div" || key === "idiv") return operandSize === 3 ? this.divide64 : this.divide32;
    if (SELF_CHARGING.has(key)) return 0;
    return this.issue * (WEIGHTS[key] ?? X87_WEIGHTS[key] ?? 1);
  }
}
