import { BHB_SEQUENCES } from "@hyperwalk/xen";
import { z } from "zod";
import { problemOf, section, shown } from "../schema-problem.js";
import {
  RECORDING_FORMAT,
  RECORDING_VERSION,
  type RecordedCall,
  type RecordedCopy,
  type RecordedEntry,
  type RecordedMix,
  type Recording,
  type RecordingEnd,
  type RecordingHeader,
} from "./recording.js";
import { RecordingError } from "./recording-error.js";

const number = z.number().nonnegative();
const count = z.number().int().nonnegative();
const hexadecimal = z.string().regex(/^0x[0-9a-f]{1,16}$/, "a hexadecimal number of up to 64 bits");
const bytes = z.string().regex(/^(?:[0-9a-f]{2})*$/, "pairs of hexadecimal digits");

const ledgerCell = section({ phase: z.string(), cause: z.string(), cycles: number });

const copy: z.ZodType<RecordedCopy> = section({
  way: z.enum(["in", "out"]),
  pointer: z.enum(["linear", "physical"]),
  address: hexadecimal,
  bytes,
  tableReads: count.optional(),
  failed: z.literal(true).optional(),
});

const entry: z.ZodType<RecordedEntry> = section({
  number: count,
  arguments: z.array(hexadecimal).max(7),
  result: z.number().int(),
  copies: z.array(copy).optional(),
});

const call: z.ZodType<RecordedCall> = section({
  kind: z.literal("call"),
  vcpu: count.max(4095),
  cycle: number,
  number: count,
  operation: z.string().nullable(),
  mode: z.enum(["real", "vm86", "16-bit", "32-bit", "64-bit"]),
  arguments: z.array(hexadecimal).max(7),
  fastabi: z.literal(true).optional(),
  result: z.number().int(),
  cycles: number,
  idle: number.optional(),
  sinceInstructions: count,
  sinceCycles: number,
  parts: count.optional(),
  unfinished: z.literal(true).optional(),
  copies: z.array(copy).optional(),
  entries: z.array(entry).optional(),
});

const mix: z.ZodType<RecordedMix> = section({
  kind: z.literal("mix"),
  domain: count.nullable(),
  number: count,
  operation: z.string().nullable(),
  count: count.min(1),
  cycles: number,
  timed: count,
  interval: number.nullable(),
});

const header: z.ZodType<RecordingHeader> = section({
  format: z.literal(RECORDING_FORMAT),
  version: z.literal(RECORDING_VERSION),
  source: z.enum(["simulator", "xentrace"]),
  tool: section({ name: z.string(), version: z.string() }),
  machine: z
    .strictObject({ id: z.string(), name: z.string(), hash: z.string(), ghz: z.number().positive() })
    .nullable(),
  host: z
    .strictObject({
      kind: z.literal("xen"),
      mitigations: section({
        ibpbEntry: z.boolean(),
        rsbOverwrite: z.boolean(),
        specCtrlWrite: z.boolean(),
        verw: z.boolean(),
        bhbClear: z.boolean(),
        bhbSeq: z.enum(BHB_SEQUENCES).exactOptional(),
        l1dFlush: z.boolean(),
        lockHarden: z.boolean(),
      }),
      p2mPage: z.enum(["4k", "2m", "1g"]),
      mmioHandlers: count.max(16),
      paging: z.enum(["hap", "shadow"]),
    })
    .nullable(),
  interface: z.string().nullable(),
  guest: section({
    name: z.string(),
    cmdline: z.string(),
    memoryBytes: count.max(2 ** 40),
    vcpus: count.min(1).max(4096),
  }),
});

const end: z.ZodType<RecordingEnd> = section({
  kind: z.literal("end"),
  calls: count,
  cycles: number,
  idle: number,
  runCycles: number,
  instructions: count,
  outcome: z.string(),
  ledger: z.array(ledgerCell),
});

/** Longest line that is read, characters. */
const LONGEST_LINE = 2 ** 22;

/**
 * Reads a record of hypercalls.
 * @throws RecordingError for anything else, with the line and the key; also for a record that ends early
 */
export function parseRecording(text: string): Recording {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const first = lines.length === 0 ? undefined : parsedLine(lines[0], 1);
  checkFormat(first);
  const parsedHeader = checked(header, first, 1);
  const calls: RecordedCall[] = [];
  const mixes: RecordedMix[] = [];
  let last: RecordingEnd | undefined;
  for (let i = 1; i < lines.length; i++) {
    const line = i + 1;
    if (last !== undefined)
      throw new RecordingError(`line ${line}`, "something after the last line", "nothing");
    const value = parsedLine(lines[i], line);
    const { kind } = (value ?? {}) as { kind?: unknown };
    if (kind === "call") calls.push(checked(call, value, line));
    else if (kind === "mix") mixes.push(checked(mix, value, line));
    else if (kind === "end") last = checked(end, value, line);
    else throw new RecordingError(`line ${line}: kind`, shown(kind), "call, mix, end");
  }
  if (last === undefined)
    throw new RecordingError(`line ${lines.length + 1}`, "the record ends here", 'a line with "kind": "end"');
  if (last.calls !== calls.length)
    throw new RecordingError(
      `line ${lines.length}: calls`,
      `${last.calls}, but the record has ${calls.length}`,
      "the number of lines of that kind",
    );
  return { header: parsedHeader, calls, mixes, end: last };
}

/** What is no record at all is said to be none, whatever its keys are. */
function checkFormat(first: unknown): void {
  const { format, version } = (typeof first === "object" && first !== null ? first : {}) as Record<
    string,
    unknown
  >;
  if (format !== RECORDING_FORMAT)
    throw new RecordingError("line 1: format", shown(format), `"${RECORDING_FORMAT}"`);
  if (version !== RECORDING_VERSION)
    throw new RecordingError("line 1: version", shown(version), String(RECORDING_VERSION));
}

function parsedLine(text: string, line: number): unknown {
  if (text.length > LONGEST_LINE)
    throw new RecordingError(`line ${line}`, `${text.length} characters`, `at most ${LONGEST_LINE}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new RecordingError(`line ${line}`, "not JSON", "one JSON object on each line");
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown, line: number): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, problem, allowed } = problemOf(result.error.issues[0], value);
  throw new RecordingError(`line ${line}${path.length === 0 ? "" : `: ${path.join(".")}`}`, problem, allowed);
}
