import { RecordingError } from "./recording-error.js";

/** One record of a trace of Xen's, `struct t_rec`, with the physical CPU whose buffer it was in. */
export interface TraceRecord {
  /** Byte offset in the file. */
  readonly offset: number;
  readonly cpu: number;
  /** 28 bits: class, subclass, event and its flags. */
  readonly event: number;
  /** Time stamp counter; undefined for records without one. */
  readonly tsc: number | undefined;
  /** Up to seven words. */
  readonly extra: readonly number[];
}

/** Events that are read, in the words of Xen's public/trace.h. */
export const TraceEvent = {
  LostRecords: 0x1f001,
  CpuChange: 0x1f003,
  RunstateChange: 0x21001,
  ContinueRunning: 0x21002,
  SchedSwitch: 0x2800a,
  VmEntry: 0x81001,
  VmExit: 0x81002,
  /** As older versions number `TRC_HVM_VMEXIT64`, and newer ones SVM's exits. */
  VmExitAlso: 0x81003,
  Vmmcall: 0x82012,
  PvHypercall: 0x20100d,
} as const;

const EVENT_MASK = 0x0fffffff;
const EXTRA_SHIFT = 28;
const EXTRA_MASK = 7;
const WORD = 4;
/** Bits of an event number above which its class begins, and the classes that there are. */
const CLASS_SHIFT = 16;
const CLASSES: readonly number[] = [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x800];
/** High words of time stamps that a number holds exactly. */
const TSC_HIGH = 2 ** 21;
/** Physical CPUs; Xen's own limit is 16383. */
const MOST_CPUS = 16384;

/**
 * Reads the records of a file that xentrace wrote: windows of one CPU's buffer each, behind a record that names the CPU and the
 * window's size in bytes.
 * @throws RecordingError with the byte offset for anything else, for a file that ends early and for one of other byte order
 */
export function* traceRecords(file: Uint8Array): Generator<TraceRecord> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  checkStart(view);
  let cpu = 0;
  let windowEnd = 0;
  const latest = new Map<number, number>();
  for (let offset = 0; offset < file.length; ) {
    const record = readRecord(view, offset, cpu);
    const end = offset + record.bytes;
    const { event, extra, tsc } = record;
    if (event === TraceEvent.CpuChange) {
      if (offset < windowEnd)
        throw new RecordingError(
          place(offset),
          `the next CPU's records ${windowEnd - offset} bytes before the end of this one's`,
          `one of this CPU's up to ${place(windowEnd)}`,
        );
      if (extra.length !== 2 || tsc !== undefined)
        throw new RecordingError(
          place(offset),
          "a change of CPU of another form",
          "two words and no time stamp",
        );
      if (extra[0] >= MOST_CPUS)
        throw new RecordingError(place(offset + WORD), `CPU ${extra[0]}`, `0 to ${MOST_CPUS - 1}`);
      [cpu] = extra;
      windowEnd = end + extra[1];
      if (windowEnd > file.length)
        throw new RecordingError(
          place(file.length),
          `the trace ends ${windowEnd - file.length} bytes before the window that begins at ${place(offset)}`,
          "a whole file",
        );
    } else {
      if (end > windowEnd)
        throw new RecordingError(
          place(offset),
          `a record that reaches over the end of its window at ${place(windowEnd)}`,
          "records within windows",
        );
      if (tsc !== undefined) {
        const before = latest.get(cpu) ?? 0;
        if (tsc < before)
          throw new RecordingError(
            place(offset + WORD),
            `time stamp ${tsc}, before ${before} on CPU ${cpu}`,
            "time that does not go back",
          );
        latest.set(cpu, tsc);
      }
      yield { offset, cpu, event, tsc, extra };
    }
    offset = end;
  }
}

function readRecord(view: DataView, offset: number, cpu: number): TraceRecord & { readonly bytes: number } {
  const need = (bytes: number) => {
    if (offset + bytes > view.byteLength)
      throw new RecordingError(
        place(view.byteLength),
        `the trace ends inside the record that begins at ${place(offset)}`,
        "a whole file",
      );
  };
  need(WORD);
  const header = view.getUint32(offset, true);
  const event = header & EVENT_MASK;
  if (!CLASSES.includes(event >>> CLASS_SHIFT))
    throw new RecordingError(
      place(offset),
      `event 0x${event.toString(16)}, of no class`,
      "events of Xen's public/trace.h",
    );
  const count = (header >>> EXTRA_SHIFT) & EXTRA_MASK;
  const timed = header >>> 31 === 1;
  const bytes = WORD * (1 + (timed ? 2 : 0) + count);
  need(bytes);
  let at = offset + WORD;
  let tsc: number | undefined;
  if (timed) {
    const high = view.getUint32(at + WORD, true);
    if (high >= TSC_HIGH)
      throw new RecordingError(place(at), "a time stamp of more than 53 bits", "at most 53 bits");
    tsc = high * 2 ** 32 + view.getUint32(at, true);
    at += 2 * WORD;
  }
  const extra = Array.from({ length: count }, (_, i) => view.getUint32(at + WORD * i, true));
  return { offset, cpu, event, tsc, extra, bytes };
}

/** The first record names a CPU; so a file of another kind, or of another byte order, is told at once. */
function checkStart(view: DataView): void {
  const first = (littleEndian: boolean) =>
    view.byteLength < WORD ? 0 : view.getUint32(0, littleEndian) & EVENT_MASK;
  if (first(true) === TraceEvent.CpuChange) return;
  const found =
    view.byteLength < WORD
      ? `a file of ${view.byteLength} bytes`
      : first(false) === TraceEvent.CpuChange
        ? "a trace of big-endian words"
        : "a file that does not begin with a change of CPU";
  throw new RecordingError(place(0), found, "what xentrace wrote on x86");
}

/** A place in a file, as messages have it. */
function place(offset: number): string {
  return `byte 0x${offset.toString(16)}`;
}
