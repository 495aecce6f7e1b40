import type { GuestCopyEvent, HypercallBeginEvent, MulticallEntryEvent, XenSystem } from "@hyperwalk/xen";
import { HypercallMeter, type MeteredCall } from "./hypercall-meter.js";
import type { RecordedCall, RecordedCopy, RecordedEntry } from "./recording.js";

/** What was seen of one entry of a multicall. */
interface EntryDetail extends RecordedEntry {
  readonly copies: RecordedCopy[];
  readonly continues: boolean;
}

/** What was seen of one call, or of one part of it. */
interface Detail {
  readonly rip: string;
  readonly begin: HypercallBeginEvent;
  readonly copies: RecordedCopy[];
  readonly entries: EntryDetail[];
}

/** Where one vCPU is. */
interface Place {
  rip: string;
  /** Calls and parts that are not in any line yet. */
  readonly details: Detail[];
  detail: Detail | undefined;
  /** The entry that is running, and what has been copied for it. */
  entry: HypercallBeginEvent | undefined;
  entryCopies: RecordedCopy[];
  tableReads: number;
}

/** Makes a {@link RecordedCall} of each hypercall of a system. Made before the system runs. */
export class HypercallRecorder {
  /** Its clock, which has the ledger of what was recorded. */
  readonly meter: HypercallMeter;
  private readonly system: XenSystem;
  private readonly places: readonly Place[];
  private readonly write: (call: RecordedCall) => void;

  /** @param write given each call when it is over */
  constructor(system: XenSystem, write: (call: RecordedCall) => void) {
    this.system = system;
    this.write = write;
    this.places = system.vcpus.map(() => ({
      rip: "",
      details: [],
      detail: undefined,
      entry: undefined,
      entryCopies: [],
      tableReads: 0,
    }));
    this.meter = new HypercallMeter(system, {
      onExit: ({ vcpu, rip }) => {
        this.places[vcpu].rip = rip;
      },
      onCall: (call) => this.tell(call),
    });
    system.on("hypercall-begin", (event) => this.begin(event));
    system.on("guest-copy", (event) => this.copy(event));
    system.on("multicall-entry", (event) => this.endEntry(event));
    system.on("hypercall", () => {
      for (const place of this.places) place.detail = undefined;
    });
  }

  private begin(event: HypercallBeginEvent): void {
    if (!this.system.processor.timed) return;
    const place = this.places[event.vcpu];
    place.tableReads = this.tableReads(event.vcpu);
    if (event.isEntry) {
      place.entry = event;
      place.entryCopies = [];
      return;
    }
    place.detail = { rip: place.rip, begin: event, copies: [], entries: [] };
    place.details.push(place.detail);
  }

  private copy({ vcpu, pointer, address, toGuest, bytes, failed }: GuestCopyEvent): void {
    const place = this.places[vcpu];
    if (place.detail === undefined) return;
    const total = this.tableReads(vcpu);
    const tableReads = total - place.tableReads;
    place.tableReads = total;
    const copies = place.entry === undefined ? place.detail.copies : place.entryCopies;
    copies.push({
      way: toGuest ? "out" : "in",
      pointer,
      address,
      bytes: hexadecimalBytes(bytes),
      ...(tableReads > 0 && { tableReads }),
      ...(failed && { failed }),
    });
  }

  private endEntry({ vcpu, number, result, continues }: MulticallEntryEvent): void {
    const place = this.places[vcpu];
    const { entry, entryCopies: copies } = place;
    place.entry = undefined;
    if (entry === undefined) return;
    place.detail?.entries.push({ number, arguments: [...entry.arguments], result, copies, continues });
  }

  private tell(call: MeteredCall): void {
    const { details } = this.places[call.vcpu];
    const parts: Detail[] = [];
    for (let i = 0; i < details.length && parts.length < call.parts; )
      if (details[i].rip === call.rip) parts.push(...details.splice(i, 1));
      else i++;
    const [first] = parts;
    if (first === undefined) return;
    const { begin } = first;
    const copies = parts.flatMap((part) => part.copies);
    const entries = joined(parts.map((part) => part.entries));
    const { event, vcpu, cycle, cycles, idle, sinceInstructions, sinceCycles, unfinished } = call;
    this.write({
      kind: "call",
      vcpu,
      cycle,
      number: begin.number,
      operation: event.operation ?? null,
      mode: begin.mode,
      arguments: [...begin.arguments],
      ...(begin.fastabi && { fastabi: true }),
      result: event.result,
      cycles,
      ...(idle > 0 && { idle }),
      sinceInstructions,
      sinceCycles,
      ...(call.parts > 1 && { parts: call.parts }),
      ...(unfinished && { unfinished }),
      ...(copies.length > 0 && { copies }),
      ...(entries.length > 0 && { entries }),
    });
  }

  private tableReads(vcpu: number): number {
    return this.system.vcpus[vcpu].pcpu.counters.guestPteReads;
  }
}

/** The entries of all parts of a multicall. One that is continued is the first of the next part again. */
function joined(parts: readonly (readonly EntryDetail[])[]): RecordedEntry[] {
  const entries: RecordedEntry[] = [];
  let continued: EntryDetail | undefined;
  for (const part of parts)
    for (const each of part) {
      const { number, result, copies: own } = each;
      const before = continued === undefined ? undefined : entries.pop();
      const copies = [...(before?.copies ?? []), ...own];
      const given = before?.arguments ?? each.arguments;
      entries.push({ number, arguments: given, result, ...(copies.length > 0 && { copies }) });
      continued = each.continues ? each : undefined;
    }
  return entries;
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hexadecimalBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += DIGITS[byte];
  return text;
}
