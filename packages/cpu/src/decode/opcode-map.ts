import {
  MAP_0F3A,
  MAP_0F38,
  oneByteMap,
  twoByteMap,
  VEX_MAP_0F3A,
  VEX_MAP_0F38,
  x87Rows,
} from "./opcode-tables.js";
import { type OperandCode, OperandKind, parseOperandCode } from "./operand-codes.js";

/** Which mandatory prefix a form wants. */
export const MandatoryPrefix = { Any: 0, None: 1, P66: 2, F3: 3, F2: 4, NoRepeat: 5 } as const;

/** One line of the opcode maps. */
export interface OpcodeForm {
  /** Name under which the interpreter and the cost tables know it. */
  readonly key: string;
  /** Mnemonics for operand sizes 16, 32 and 64. */
  readonly mnemonics: readonly [string, string, string];
  readonly operands: readonly OperandCode[];
  /** Wanted ModRM.reg, or -1. */
  readonly reg: number;
  /** Wanted ModRM byte, or -1. */
  readonly modrm: number;
  /** 0: any ModRM.rm, 1: memory only, 2: register only. */
  readonly rm: number;
  readonly prefix: number;
  readonly needsModrm: boolean;
  readonly lockable: boolean;
  readonly invalidIn64: boolean;
  readonly onlyIn64: boolean;
  readonly default64: boolean;
  readonly forced64: boolean;
}

const MODRM_KINDS = new Set<number>([
  OperandKind.RegisterOrMemory,
  OperandKind.Register,
  OperandKind.Memory,
  OperandKind.RegisterFromRm,
  OperandKind.SegmentFromReg,
  OperandKind.Control,
  OperandKind.Debug,
  OperandKind.VectorFromReg,
  OperandKind.VectorOrMemory,
  OperandKind.VectorFromRm,
  OperandKind.MmxFromReg,
  OperandKind.MmxOrMemory,
  OperandKind.MmxFromRm,
  OperandKind.StackRegister,
]);

const MEMORY_KINDS = new Set<number>([OperandKind.Memory]);
const PREFIXES: Record<string, number> = {
  np: MandatoryPrefix.None,
  "66": MandatoryPrefix.P66,
  f3: MandatoryPrefix.F3,
  f2: MandatoryPrefix.F2,
  nr: MandatoryPrefix.NoRepeat,
};

const OPCODE = /^([0-9a-f]{2})(\+)?(?:\/([0-7])|:([0-9a-f]{2}))?([mr])?$/;

function parseLine(line: string, into: OpcodeForm[]): void {
  const words = line.split(" ");
  const match = OPCODE.exec(words[0]);
  if (match === null) throw new RangeError(`bad opcode line: ${line}`);
  if (words[1] === "mmx") {
    // The MMX/SSE2 pairs: the same mnemonic on MMX and, with 66, on vector registers.
    parseLine(`${words[0]} np ${words[2]} Pq,Qq`, into);
    parseLine(`${words[0]} 66 ${words[2]} Vx,Wx`, into);
    return;
  }
  const prefix = PREFIXES[words[1]] ?? MandatoryPrefix.Any;
  const rest = prefix === MandatoryPrefix.Any ? words.slice(1) : words.slice(2);
  const names = rest[0].split("|");
  const operands = rest[1] === "-" ? [] : rest[1].split(",").map(parseOperandCode);
  const attributes = rest.slice(2);
  const reg = match[3] === undefined ? -1 : Number.parseInt(match[3], 8);
  const modrm = match[4] === undefined ? -1 : Number.parseInt(match[4], 16);
  const memoryOnly = match[5] === "m" || operands.some((o) => MEMORY_KINDS.has(o.kind));
  const rm = memoryOnly ? 1 : match[5] === "r" ? 2 : 0;
  const first = names[0];
  const middle = names[1] || first;
  into.push({
    key: attributes.find((a) => a.startsWith("as:"))?.slice(3) ?? first,
    mnemonics: [first, middle, names[2] || middle],
    operands,
    reg,
    modrm,
    rm,
    prefix,
    needsModrm: reg >= 0 || modrm >= 0 || rm !== 0 || operands.some((o) => MODRM_KINDS.has(o.kind)),
    lockable: attributes.includes("lock"),
    invalidIn64: attributes.includes("i64"),
    onlyIn64: attributes.includes("o64"),
    default64: attributes.includes("d64") || attributes.includes("f64"),
    forced64: attributes.includes("f64"),
  });
}

/** One map's forms. A program uses few opcodes, so text becomes forms when an opcode is first asked for. */
export class OpcodeMap {
  private readonly text: () => string;
  private lines: readonly (readonly string[])[] | undefined;
  private readonly parsed: (readonly OpcodeForm[] | undefined)[] = [];

  constructor(text: () => string) {
    this.text = text;
  }

  /** Forms of an opcode byte, in the order of the text. */
  forms(opcode: number): readonly OpcodeForm[] {
    const known = this.parsed[opcode];
    if (known !== undefined) return known;
    this.lines ??= linesByOpcode(this.text());
    const forms: OpcodeForm[] = [];
    for (const line of this.lines[opcode]) parseLine(line, forms);
    this.parsed[opcode] = forms;
    return forms;
  }
}

function linesByOpcode(text: string): readonly (readonly string[])[] {
  const lines: string[][] = Array.from({ length: 256 }, () => []);
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const opcode = Number.parseInt(line.slice(0, 2), 16);
    const count = line.charAt(2) === "+" ? 8 : 1;
    for (let i = 0; i < count; i++) lines[opcode + i].push(line);
  }
  return lines;
}

/** Maps by number: 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A, 4 and 5: those two with a VEX prefix. */
export const OPCODE_MAPS: readonly OpcodeMap[] = [
  new OpcodeMap(() => `${oneByteMap()}${x87Rows()}`),
  new OpcodeMap(twoByteMap),
  new OpcodeMap(() => MAP_0F38),
  new OpcodeMap(() => MAP_0F3A),
  new OpcodeMap(() => VEX_MAP_0F38),
  new OpcodeMap(() => VEX_MAP_0F3A),
];
