import type { PathCost } from "./path-cost/path-cost.js";
import { UPDATE_RUNSTATE, UPDATE_TIME } from "./path-cost/stages/time.js";
import { layOutRunstate, RUNSTATE_WORDS } from "./runstate.js";
import { TIME_RECORD_BYTES, TimeRecord } from "./time-record.js";
import type { Vcpu } from "./vcpu.js";

/** `vcpu_time_info` in a `vcpu_info`. */
const TIME_IN_VCPU_INFO = 32;
/** VMASST_TYPE_runstate_update_flag, and the byte of the entry time that then tells of an update. */
export const RUNSTATE_UPDATE_FLAG = 5;
const NO_FRAME = -1;

/** A copy of something that the guest had Xen keep, as plain data. */
export interface GuestAreaSnapshot {
  readonly frame: number;
  readonly offset: number;
  readonly is32Bit: boolean;
  readonly handle: readonly [number, number];
}

/** Where Xen keeps such a copy: at a place in guest memory, else at a guest address that it translates every time. */
export class GuestArea {
  /** Machine frame, referenced, or -1; takes precedence over the handle. */
  frame: number = NO_FRAME;
  offset = 0;
  /** Whether a 32-bit caller gave that place. */
  is32Bit = false;
  /** The guest's address, 0 for none. */
  handleLo = 0;
  handleHi = 0;

  get hasHandle(): boolean {
    return (this.handleLo | this.handleHi) !== 0;
  }

  snapshot(): GuestAreaSnapshot {
    const { frame, offset, is32Bit, handleLo, handleHi } = this;
    return { frame, offset, is32Bit, handle: [handleLo, handleHi] };
  }

  restore(snapshot: GuestAreaSnapshot): void {
    ({ frame: this.frame, offset: this.offset, is32Bit: this.is32Bit } = snapshot);
    [this.handleLo, this.handleHi] = snapshot.handle;
  }
}

/** Both areas of a vCPU, as plain data. */
export interface GuestAreasSnapshot {
  readonly runstate: GuestAreaSnapshot;
  readonly time: GuestAreaSnapshot;
}

/**
 * What Xen writes into guest memory about a vCPU by itself: the time, in its `vcpu_info` and in an area, and the run state,
 * in an area. It does so when the vCPU gets onto a processor, and the run state also when it leaves one.
 */
export class GuestAreas {
  readonly runstate: GuestArea = new GuestArea();
  readonly time: GuestArea = new GuestArea();
  private readonly vcpu: Vcpu;
  private readonly record: TimeRecord;
  private readonly timestampOffset: () => number;
  private readonly words = new Int32Array(RUNSTATE_WORDS);
  private readonly copy = new DataView(new ArrayBuffer(4 * RUNSTATE_WORDS));

  /** @param ghz cycles a nanosecond @param timestampOffset cycles that the guest's time stamp is ahead */
  constructor(vcpu: Vcpu, ghz: number, timestampOffset: () => number) {
    this.vcpu = vcpu;
    this.record = new TimeRecord(ghz);
    this.timestampOffset = timestampOffset;
  }

  /**
   * `__update_vcpu_system_time`: the record in `vcpu_info` and in the area, if it is another than there.
   * @param by the vCPU whose hypercall or exit Xen handles @param force also if it is the same
   */
  updateTime(by: Vcpu, force: boolean): void {
    const { domain, id } = this.vcpu;
    const { events } = domain.eventChannels;
    const frame = events.infoFrameOf(id);
    if (frame < 0) return;
    const offset = events.infoOffsetOf(id) + TIME_IN_VCPU_INFO;
    const { record } = this;
    record.collect(by.nowNs, this.timestampOffset());
    const there = domain.readFrame(frame, TIME_RECORD_BYTES, offset);
    if (!force && record.equals(there)) return;
    const { cost } = by.call;
    cost.run(cost.compile(UPDATE_TIME));
    cost.access(frame, offset, TIME_RECORD_BYTES, true);
    record.follow(versionOf(there));
    domain.writeFrame(frame, record.bytes, offset);
    this.updateTimeArea(by);
  }

  /** The first record, as the toolstack's start of the vCPU leaves it: nobody pays. */
  startTime(): void {
    const { domain, id, nowNs } = this.vcpu;
    const { events } = domain.eventChannels;
    this.record.collect(nowNs, this.timestampOffset());
    this.record.follow(0);
    domain.writeFrame(events.infoFrameOf(id), this.record.bytes, events.infoOffsetOf(id) + TIME_IN_VCPU_INFO);
  }

  /** `time_area_populate`: an area of its own begins with version 0. */
  fillTime(by: Vcpu): void {
    const { record, time } = this;
    record.collect(by.nowNs, this.timestampOffset());
    record.version = 0;
    this.write(time, record.bytes, by.call.cost);
  }

  /** `update_runstate_area`, as the run state was last changed. */
  updateRunstate(): void {
    const { vcpu, runstate, words, copy } = this;
    const { domain, call } = vcpu;
    if (runstate.frame < 0 && !runstate.hasHandle) return;
    call.cost.run(call.cost.compile(UPDATE_RUNSTATE));
    vcpu.runstate.record(words);
    if (runstate.frame >= 0) {
      const bytes = layOutRunstate(words, runstate.is32Bit, copy);
      this.write(runstate, new Uint8Array(copy.buffer, 0, bytes), call.cost);
      return;
    }
    const { is32Bit } = domain.eventChannels.events;
    const { access: own, areaAccess: access = own } = call;
    const { handleLo, handleHi } = runstate;
    const flagged = (domain.vmAssist & (1 << RUNSTATE_UPDATE_FLAG)) !== 0;
    const flagAt = is32Bit ? 11 : 15;
    const bytes = layOutRunstate(words, is32Bit, copy);
    const top = copy.getUint8(flagAt);
    if (flagged) {
      // Top byte of the entry time: set before the rest is copied, cleared after.
      access.buffer.setUint8(0, top | 0x80);
      copyOut(access, handleLo, handleHi, flagAt, 1);
    }
    for (let i = 0; i < bytes; i++) access.buffer.setUint8(i, copy.getUint8(i));
    if (flagged) access.buffer.setUint8(flagAt, top | 0x80);
    access.copyToGuest(handleLo, handleHi, bytes);
    if (!flagged) return;
    access.buffer.setUint8(0, top);
    copyOut(access, handleLo, handleHi, flagAt, 1);
  }

  /** `runstate_area_populate` @param words of `Runstate.record` */
  fillRunstate(words: Int32Array, by: Vcpu): void {
    const { runstate, copy } = this;
    const bytes = layOutRunstate(words, runstate.is32Bit, copy);
    this.write(runstate, new Uint8Array(copy.buffer, 0, bytes), by.call.cost);
  }

  /** The first copy to the guest's address. @param words of `Runstate.read` or `record` */
  copyRunstate(words: Int32Array, is32Bit: boolean, by: Vcpu): void {
    const { access: own, areaAccess: access = own } = by.call;
    const bytes = layOutRunstate(words, is32Bit, access.buffer);
    access.copyToGuest(this.runstate.handleLo, this.runstate.handleHi, bytes);
  }

  snapshot(): GuestAreasSnapshot {
    return { runstate: this.runstate.snapshot(), time: this.time.snapshot() };
  }

  restore(snapshot: GuestAreasSnapshot): void {
    this.runstate.restore(snapshot.runstate);
    this.time.restore(snapshot.time);
  }

  /** `update_secondary_system_time` */
  private updateTimeArea(by: Vcpu): void {
    const { time, record } = this;
    if (time.frame >= 0) this.write(time, record.bytes, by.call.cost);
    if (time.frame >= 0 || !time.hasHandle) return;
    const { access: own, areaAccess: access = own } = by.call;
    const { version } = record;
    access.buffer.setUint32(0, version - 1, true);
    if (access.copyToGuest(time.handleLo, time.handleHi, 4) !== 0) return;
    record.bytes.forEach((byte, i) => {
      access.buffer.setUint8(i, byte);
    });
    access.buffer.setUint32(0, version - 1, true);
    access.copyToGuest(time.handleLo, time.handleHi, TIME_RECORD_BYTES);
    access.buffer.setUint32(0, version, true);
    access.copyToGuest(time.handleLo, time.handleHi, 4);
  }

  private write(area: GuestArea, bytes: Uint8Array, cost: PathCost): void {
    const { frame, offset } = area;
    cost.access(frame, offset, bytes.length, true);
    this.vcpu.domain.writeFrame(frame, bytes, offset);
  }
}

function versionOf(record: Uint8Array): number {
  return new DataView(record.buffer, record.byteOffset).getUint32(0, true);
}

function copyOut(
  access: Vcpu["call"]["access"],
  lo: number,
  hi: number,
  offset: number,
  bytes: number,
): void {
  const at = (lo + offset) | 0;
  access.copyToGuest(at, (hi + (at >>> 0 < lo >>> 0 ? 1 : 0)) | 0, bytes);
}
