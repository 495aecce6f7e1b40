import { FRAME_BYTES } from "@hyperwalk/mmu";
import { guestAddressSpace, SPECIAL_FRAMES, SPECIAL_GFN } from "../boot/index.js";
import type { Domain } from "../domain.js";
import { P2mType } from "../p2m-type.js";
import {
  type MigratedEvents,
  type MigratedPage,
  MigrationError,
  type MigrationRecord,
} from "./migration-record.js";

/** A domain's part of a record. */
export type DomainRecord = Pick<
  MigrationRecord,
  | "memoryBytes"
  | "abi"
  | "pages"
  | "holes"
  | "specialPages"
  | "sharedInfo"
  | "grants"
  | "events"
  | "params"
  | "vmAssist"
  | "doorbell"
>;

/** @throws MigrationError for state that only means something where it is */
export function saveDomain(domain: Domain): DomainRecord {
  checkMovable(domain);
  const { p2m, config } = domain;
  const pages: MigratedPage[] = [];
  const holes: number[] = [];
  for (const { first, count } of guestAddressSpace(config.memoryBytes).ram)
    for (let gfn = first; gfn < first + count; gfn++) {
      const mfn = p2m.translate(gfn);
      if (mfn === domain.sharedInfo.frame) continue;
      if (mfn < 0) holes.push(gfn);
      else if (domain.memory.frameOffset(mfn) >= 0) addPage(pages, gfn, page(domain, mfn));
    }
  const specialPages: MigratedPage[] = [];
  for (let gfn = SPECIAL_GFN; gfn < SPECIAL_GFN + SPECIAL_FRAMES; gfn++)
    addPage(specialPages, gfn, page(domain, p2m.translate(gfn)));
  return {
    memoryBytes: config.memoryBytes,
    abi: config.abi.name,
    pages,
    holes,
    specialPages,
    sharedInfo: { gfn: domain.sharedInfo.gfn, bytes: page(domain, domain.sharedInfo.frame) },
    grants: domain.grantTable.snapshot().shared.map((mfn) => page(domain, mfn)),
    events: saveEvents(domain),
    params: domain.params.slice(),
    vmAssist: domain.vmAssist,
    doorbell: domain.doorbell?.snapshot(),
  };
}

/** Puts it into a domain that has not run, once it has been checked. */
export function restoreDomain(domain: Domain, record: DomainRecord): void {
  const { p2m, config, memory } = domain;
  for (const { first, count } of guestAddressSpace(config.memoryBytes).ram)
    for (let gfn = first; gfn < first + count; gfn++) {
      const mfn = p2m.translate(gfn);
      if (mfn >= 0 && memory.frameOffset(mfn) >= 0) domain.writeFrame(mfn, ZEROS, 0);
    }
  for (const gfn of record.holes) domain.releaseFrame(gfn);
  for (let gfn = SPECIAL_GFN; gfn < SPECIAL_GFN + SPECIAL_FRAMES; gfn++)
    domain.writeFrame(p2m.translate(gfn), ZEROS, 0);
  if (record.sharedInfo.gfn >= 0) domain.mapSharedInfo(record.sharedInfo.gfn);
  domain.writeFrame(domain.sharedInfo.frame, record.sharedInfo.bytes, 0);
  for (const { gfn, bytes } of [...record.pages, ...record.specialPages])
    domain.writeFrame(p2m.translate(gfn), bytes, 0);
  const { shared } = domain.grantTable.snapshot();
  record.grants.forEach((bytes, i) => {
    domain.writeFrame(shared[i], bytes, 0);
  });
  restoreEvents(domain, record.events);
  domain.params.set(record.params);
  domain.vmAssist = record.vmAssist;
  if (record.doorbell !== undefined) domain.doorbell?.migrate(record.doorbell);
}

const ZEROS = new Uint8Array(FRAME_BYTES);

function page(domain: Domain, mfn: number): Uint8Array {
  return domain.readFrame(mfn, FRAME_BYTES).slice();
}

function addPage(pages: MigratedPage[], gfn: number, bytes: Uint8Array): void {
  if (bytes.some((byte) => byte !== 0)) pages.push({ gfn, bytes });
}

function saveEvents(domain: Domain): MigratedEvents {
  const { events, callback, upcallVectors, virqPort, connected, frames } = domain.eventChannels.snapshot();
  const shared = domain.sharedInfo.frame;
  return {
    infoGfn: [...events.infoFrame].map((mfn) => (mfn === shared ? -1 : gfnOf(domain, mfn))),
    infoOffset: [...events.infoOffset],
    is32Bit: events.is32Bit,
    callback,
    upcallVectors,
    virqPort,
    connected,
    records: [...frames].map((mfn) => (mfn === 0 ? undefined : page(domain, mfn))),
  };
}

function restoreEvents(domain: Domain, record: MigratedEvents): void {
  const { eventChannels, p2m } = domain;
  const { records, infoGfn, infoOffset, is32Bit, ...rest } = record;
  const mine = eventChannels.snapshot();
  const frames = mine.frames.slice();
  records.forEach((bytes, i) => {
    if (bytes === undefined) return;
    if (frames[i] === 0) frames[i] = domain.allocateFrame();
    domain.writeFrame(frames[i], bytes, 0);
  });
  const infoFrame = Int32Array.from(infoGfn, (gfn) => {
    if (gfn < 0) return domain.sharedInfo.frame;
    const mfn = p2m.translate(gfn);
    p2m.takePage(mfn, undefined);
    return mfn;
  });
  eventChannels.restore({
    ...mine,
    ...rest,
    frames,
    events: { is32Bit, infoFrame, infoOffset: Int32Array.from(infoOffset) },
  });
}

/** Guest frame of one of the domain's pages. */
function gfnOf(domain: Domain, mfn: number): number {
  for (const { first, count } of guestAddressSpace(domain.config.memoryBytes).ram)
    for (let gfn = first; gfn < first + count; gfn++) if (domain.p2m.translate(gfn) === mfn) return gfn;
  throw new MigrationError("STATE", "vcpu_info", "is at a page that has no guest frame any more");
}

/** What the model does not move, and why. */
function checkMovable(domain: Domain): void {
  const { config, p2m, grantTable, eventChannels, conditions } = domain;
  const refuse = (key: string, why: string): never => {
    throw new MigrationError("STATE", key, why);
  };
  if (domain.shutdownReason >= 0) refuse("domain", "is shut down");
  if (config.vcpus !== 1) refuse("domain.vcpus", "a record has one vCPU");
  if (config.confidential !== undefined) refuse("domain.confidential", "memory and registers cannot be read");
  if (config.paging !== "hap") refuse("domain.paging", "shadow paging is not moved");
  if (config.hardwareDomain) refuse("domain.hardwareDomain", "the hardware's domain stays with it");
  if (config.fixedLayoutGrantFrames !== undefined)
    refuse("domain.fixedMemoryLayout", "its regions are not moved");
  if (domain.viridian !== undefined) refuse("domain.viridian", "its pages are not moved");
  if (domain.boot !== "pvh") refuse("domain.boot", "devices of other boot protocols are not moved");
  if (eventChannels.snapshot().fifo.enabled) refuse("event channels", "FIFO control blocks are not moved");
  const { version, shared, maptrack } = grantTable.snapshot();
  if (version !== 1 || maptrack.frames.length > 0 || grantTable.active.isUsedFrom(0))
    refuse("grant table", "version 2 and grants in use are not moved");
  if (shared.some((mfn) => domain.frameHome(mfn) >= 0)) refuse("grant table", "is mapped into the guest");
  if (conditions.logDirty.enabled) refuse("log-dirty mode", "is this machine's");
  for (const { first, count } of guestAddressSpace(config.memoryBytes).ram)
    for (let gfn = first; gfn < first + count; gfn++) {
      const type = p2m.typeAt(gfn);
      const mfn = p2m.translate(gfn);
      const own = mfn < 0 || p2m.isRam(mfn) || mfn === domain.sharedInfo.frame;
      if (!own || (type !== P2mType.RamRw && type !== P2mType.Invalid))
        refuse("p2m", `guest frame 0x${gfn.toString(16)} is no ordinary RAM`);
    }
  for (let gfn = SPECIAL_GFN; gfn < SPECIAL_GFN + SPECIAL_FRAMES; gfn++)
    if (p2m.translate(gfn) < 0) refuse("special pages", "one was unmapped");
}
