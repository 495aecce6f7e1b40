import {
  MandatoryPrefix,
  OPCODE_MAPS,
  type OpcodeForm,
} from "../../../../packages/cpu/src/decode/opcode-map.js";
import { OperandKind } from "../../../../packages/cpu/src/decode/operand-codes.js";
import { handlerOf } from "../../../../packages/cpu/src/interpreter/handlers.js";

/** One opcode form of the decoder's tables and where it stands. */
export interface ListedForm {
  readonly map: number;
  readonly opcode: number;
  readonly form: OpcodeForm;
  /** Must fault at CPL 3: a few of these are enough. */
  readonly privileged: boolean;
}

/** Why a form is not run against the machine, by its key. */
const NOT_COMPARED: Readonly<Record<string, string>> = {
  ...group("enters the operating system", "syscall", "sysenter", "sysexit", "sysret"),
  ...group("answers differently on every machine", "cpuid", "rdtsc", "rdtscp", "rdpmc", "rdpid"),
  ...group("random", "rdrand", "rdseed"),
  ...group("depends on XCR0 or keys of the system", "xgetbv", "xsetbv", "rdpkru", "wrpkru"),
  ...group("emulated by Linux under UMIP", "sgdt", "sidt", "sldt", "str", "smsw"),
  ...group("aborts at will", "xbegin", "xabort", "xend", "xtest"),
  ...group("more state on the machine; state-phrases.ts has them", "xsave", "xrstor", "xsaveopt", "xsavec"),
  ...group(
    "answered by the hypervisor that this machine runs on",
    "vmcall",
    "vmlaunch",
    "vmresume",
    "vmxoff",
  ),
  ...group("answered by the hypervisor that this machine runs on", "vmfunc", "vmread", "vmwrite", "vmptrld"),
  ...group("answered by the hypervisor that this machine runs on", "vmptrst", "vmclear", "vmxon", "invept"),
  ...group("answered by the hypervisor that this machine runs on", "invvpid", "invpcid", "monitor", "mwait"),
  ...group("answered by the hypervisor that this machine runs on", "vmrun", "vmmcall", "vmgexit", "vmload"),
  ...group("answered by the hypervisor that this machine runs on", "vmsave", "stgi", "clgi", "skinit"),
  ...group("not on every machine", "invlpga", "monitorx", "mwaitx", "clzero", "invlpgb", "tlbsync"),
  ...group("not on every machine", "rmpupdate", "rmpadjust", "pvalidate", "psmash", "getsec", "rsm"),
  ...group("not on every machine", "encls", "enclu", "serialize", "movdiri"),
  ...group("not on every machine", "prefetchwt1", "wbnoinvd"),
  ...group("last bit left open; x87-closeness.ts compares", "f2xm1", "fyl2x", "fyl2xp1", "fpatan"),
  ...group("last bit left open; x87-closeness.ts compares", "fsin", "fcos", "fsincos", "fptan"),
  ...group("approximations, whose bits are the vendor's own", "rcpps", "rcpss", "rsqrtps", "rsqrtss"),
};

/** Feature names of /proc/cpuinfo that a key needs on the machine. */
const NEEDS: Readonly<Record<string, string>> = {
  tzcnt: "bmi1",
  lzcnt: "abm",
  movbe: "movbe",
  popcnt: "popcnt",
  clac: "smap",
  stac: "smap",
  clflush: "clflush",
  clflushopt: "clflushopt",
  clwb: "clwb",
  crc32: "sse4_2",
  adcx: "adx",
  adox: "adx",
  ...each("bmi1", "andn bextr blsi blsmsk blsr"),
  ...each("bmi2", "bzhi mulx pdep pext rorx sarx shlx shrx"),
  ...each("pni", "addsubpd addsubps haddpd haddps hsubpd hsubps lddqu movddup movshdup movsldup"),
  ...each(
    "ssse3",
    "pabsb pabsw pabsd palignr phaddd phaddsw phaddw phsubd phsubsw phsubw pmaddubsw pmulhrsw",
  ),
  ...each("ssse3", "pshufb psignb psignw psignd"),
  ...each(
    "sse4_1",
    "blendpd blendps blendvpd blendvps dppd dpps extractps insertps movntdqa mpsadbw packusdw",
  ),
  ...each(
    "sse4_1",
    "pblendvb pblendw pcmpeqq pextrb pextrd phminposuw pinsrb pinsrd pmaxsb pmaxsd pmaxud pmaxuw",
  ),
  ...each(
    "sse4_1",
    "pminsb pminsd pminud pminuw pmovsxbd pmovsxbq pmovsxbw pmovsxdq pmovsxwd pmovsxwq pmovzxbd",
  ),
  ...each(
    "sse4_1",
    "pmovzxbq pmovzxbw pmovzxdq pmovzxwd pmovzxwq pmuldq pmulld ptest roundpd roundps roundsd roundss",
  ),
  ...each("sse4_2", "pcmpestri pcmpestrm pcmpgtq pcmpistri pcmpistrm"),
  ...each("aes", "aesdec aesdeclast aesenc aesenclast aesimc aeskeygenassist"),
  ...each("pclmulqdq", "pclmulqdq"),
  ...each("sha_ni", "sha1msg1 sha1msg2 sha1nexte sha1rnds4 sha256msg1 sha256msg2 sha256rnds2"),
};

const PRIVILEGED = new Set(
  "hlt cli sti in out insb insw outsb outsw clts invd wbinvd lgdt lidt lldt ltr lmsw invlpg rdmsr wrmsr swapgs xsaves xrstors".split(
    " ",
  ),
);

const VECTOR_OR_X87: ReadonlySet<number> = new Set([
  OperandKind.VectorFromReg,
  OperandKind.VectorOrMemory,
  OperandKind.VectorFromRm,
  OperandKind.MmxFromReg,
  OperandKind.MmxOrMemory,
  OperandKind.MmxFromRm,
  OperandKind.StackTop,
  OperandKind.StackRegister,
]);

/** Why a form is left out, or undefined. */
export function whyNotCompared(map: number, opcode: number, form: OpcodeForm): string | undefined {
  const x87 = map === 0 && (opcode & 0xf8) === 0xd8;
  const vector = form.operands.some((operand) => VECTOR_OR_X87.has(operand.kind));
  if ((x87 || vector) && handlerOf(form.key) === undefined) return "not executed by the engine";
  return NOT_COMPARED[form.key];
}

/** Every form of the decoder's tables that user code can run with a result that all machines share. */
export function listForms(mode: 32 | 64, features: ReadonlySet<string>): ListedForm[] {
  const list: ListedForm[] = [];
  OPCODE_MAPS.forEach((opcodes, map) => {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (const form of opcodes.forms(opcode)) {
        if (mode === 64 ? form.invalidIn64 : form.onlyIn64) continue;
        if (whyNotCompared(map, opcode, form) !== undefined) continue;
        if (NEEDS[form.key] !== undefined && !features.has(NEEDS[form.key])) continue;
        const privileged = PRIVILEGED.has(form.key) || form.operands.some(isSystemRegister);
        list.push({ map, opcode, form, privileged });
      }
    }
  });
  return list;
}

function isSystemRegister(operand: { readonly kind: number }): boolean {
  return operand.kind === OperandKind.Control || operand.kind === OperandKind.Debug;
}

/** Prefix bytes that a form demands. */
export function mandatoryPrefixes(form: OpcodeForm): readonly number[] {
  switch (form.prefix) {
    case MandatoryPrefix.P66:
      return [0x66];
    case MandatoryPrefix.F3:
      return [0xf3];
    case MandatoryPrefix.F2:
      return [0xf2];
    default:
      return [];
  }
}

function each(feature: string, keys: string): Record<string, string> {
  return group(feature, ...keys.split(" "));
}

function group(reason: string, ...keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [key, reason]));
}
