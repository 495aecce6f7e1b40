import { FRAME_BYTES } from "@hyperwalk/mmu";
import { guestAddressSpace, SPECIAL_FRAMES, SPECIAL_GFN } from "../boot/index.js";
import { doorbellProblem } from "../devices/doorbell.js";
import type { Domain } from "../domain.js";
import { EventRecord, RECORD_BYTES } from "../event-record.js";
import { EVTCHNSTAT_IPI } from "../operations/descriptors.gen.js";
import { isSpecialMapping } from "../p2m-type.js";
import { misfit } from "../snapshot/plain-data.js";
import { type MigratedPage, MigrationError, type MigrationRecord } from "./migration-record.js";

/** `struct vcpu_info` */
const VCPU_INFO_BYTES = 64;
/** A control structure's and the p2m's limit: guest-physical addresses have no more than 48 bits here. */
const MAX_GFN = 2 ** 36;

/**
 * Checks everything about a record before anything is changed: its version, that it is of such a domain, the shape of its
 * parts, and that its frames and ports are there.
 * @param own a record of the system that takes it over @throws MigrationError
 */
export function checkRecord(record: MigrationRecord, own: MigrationRecord, domain: Domain): void {
  if (typeof record !== "object" || record === null) refuse("record", "is none");
  if (record.version !== own.version) refuse("version", `${record.version} is not ${own.version}`);
  for (const key of ["memoryBytes", "abi"] as const)
    if (record[key] !== own[key]) refuse(`domain.${key}`, `was ${record[key]} and is ${own[key]}`);
  const rings = [record.doorbell !== undefined, own.doorbell !== undefined];
  if (rings[0] !== rings[1]) refuse("domain.doorbell", `was ${rings[0]} and is ${rings[1]}`);
  const wrong = absent(record, own, "") ?? misfit(record, own, "", new Set());
  if (wrong !== undefined) refuse("record", wrong);
  checkMemory(record, domain);
  checkEvents(record, own, domain);
  checkRegisters(record, own);
  const { params, vmAssist, doorbell, hypercallInstruction } = record;
  if (params.some((value) => !Number.isFinite(value) || value < 0)) refuse("params", "are no parameters");
  if (!isWord(vmAssist)) refuse("vmAssist", `${vmAssist} is no word`);
  if (!areNumbers(hypercallInstruction, own.hypercallInstruction.length, 0, 0xff))
    refuse("hypercallInstruction", "is none");
  // The frame that its ring has here is found when it is mapped.
  const broken = doorbell === undefined ? undefined : doorbellProblem(doorbell);
  if (broken !== undefined) refuse("doorbell", broken);
}

function refuse(key: string, why: string): never {
  throw new MigrationError("MISMATCH", key, why);
}

/** Path of a member that is missing or undefined where the pattern has something; undefined: there is none. */
function absent(value: unknown, pattern: unknown, path: string): string | undefined {
  if (pattern === undefined) return undefined;
  if (value === undefined || value === null) return `${path} is missing`;
  if (typeof pattern !== "object" || Array.isArray(pattern) || ArrayBuffer.isView(pattern)) return undefined;
  const members = value as Readonly<Record<string, unknown>>;
  for (const [key, wanted] of Object.entries(pattern as object)) {
    const found = absent(members[key], wanted, path === "" ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isInteger(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** A 32-bit word, signed or not. */
function isWord(value: unknown): boolean {
  return isInteger(value, -(2 ** 31), 2 ** 32 - 1);
}

function areNumbers(values: unknown, count: number, least: number, most: number): boolean {
  return (
    Array.isArray(values) && values.length === count && values.every((value) => isInteger(value, least, most))
  );
}

function areWords(values: unknown, count: number): boolean {
  return areNumbers(values, count, -(2 ** 31), 2 ** 32 - 1);
}

function isFrame(bytes: unknown): boolean {
  return bytes instanceof Uint8Array && bytes.length === FRAME_BYTES;
}

/** Holes, where shared_info is, and pages at frames that are neither. */
function checkMemory(record: MigrationRecord, domain: Domain): void {
  const { p2m } = domain;
  const { holes, pages, specialPages, sharedInfo, grants } = record;
  const { ram } = guestAddressSpace(domain.config.memoryBytes);
  const taken = new Set<number>();
  const take = (key: string, gfn: unknown, fits: (gfn: number) => boolean) => {
    if (!isInteger(gfn, 0, MAX_GFN - 1) || !fits(gfn as number) || taken.has(gfn as number))
      refuse(key, `guest frame ${String(gfn)} cannot be one of them, or is named twice`);
    taken.add(gfn as number);
  };
  const isRam = (gfn: number) =>
    ram.some(({ first, count }) => gfn >= first && gfn < first + count) && p2m.translate(gfn) >= 0;
  const isSpecial = (gfn: number) => gfn >= SPECIAL_GFN && gfn < SPECIAL_GFN + SPECIAL_FRAMES;
  const takePages = (key: string, list: readonly MigratedPage[], fits: (gfn: number) => boolean) => {
    for (const page of list) {
      if (typeof page !== "object" || page === null || !isFrame(page.bytes)) refuse(key, "one is no page");
      take(key, page.gfn, fits);
    }
  };
  for (const gfn of holes) take("holes", gfn, isRam);
  if (sharedInfo.gfn !== -1)
    take("sharedInfo", sharedInfo.gfn, (gfn) => !isSpecial(gfn) && !isSpecialMapping(p2m.typeAt(gfn)));
  takePages("pages", pages, isRam);
  takePages("specialPages", specialPages, isSpecial);
  const { shared } = domain.grantTable.snapshot();
  if (grants.length > shared.length) refuse("grants", `${grants.length} pages, and ${shared.length} here`);
  if (!grants.every(isFrame)) refuse("grants", "one is no page");
}

function checkEvents(record: MigrationRecord, own: MigrationRecord, domain: Domain): void {
  const { infoGfn, infoOffset, callback, virqPort, connected, records } = record.events;
  const { ports } = domain.eventChannels;
  const { ram } = guestAddressSpace(domain.config.memoryBytes);
  const gone = new Set([...record.holes, record.sharedInfo.gfn]);
  const isPage = (gfn: number) =>
    ram.some(({ first, count }) => gfn >= first && gfn < first + count) && !gone.has(gfn);
  const count = own.events.infoGfn.length;
  if (!areNumbers(infoGfn, count, -1, MAX_GFN - 1) || !infoGfn.every((gfn) => gfn === -1 || isPage(gfn)))
    refuse("events.infoGfn", "is no page of the guest's");
  if (
    !areNumbers(infoOffset, count, 0, FRAME_BYTES - VCPU_INFO_BYTES) ||
    infoOffset.some((at) => at % 4 !== 0)
  )
    refuse("events.infoOffset", "is not in a page");
  if (!areWords(callback, 2)) refuse("events.callback", "is none");
  if (virqPort.some((port) => port < 0 || port >= ports)) refuse("events.virqPort", "has no such port");
  if (!connected.every((port) => own.events.connected.includes(port)))
    refuse("events.connected", "has ports that have no backend here");
  if (records.length !== own.events.records.length || records[0] === undefined)
    refuse("events.records", "are of another number of ports");
  for (const bytes of records) {
    if (bytes === undefined) continue;
    if (!isFrame(bytes)) refuse("events.records", "one is no page");
    checkPorts(bytes, ports, domain.id);
  }
}

/** What Xen believes of its own records. */
function checkPorts(bytes: Uint8Array, ports: number, id: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < FRAME_BYTES; at += RECORD_BYTES) {
    const isOwn = view.getUint32(at + EventRecord.Source, true) === id;
    const remote = isOwn ? view.getUint32(at + EventRecord.RemotePort, true) : 0;
    const vcpu = view.getUint32(at + EventRecord.NotifyVcpu, true);
    if (bytes[at + EventRecord.State] > EVTCHNSTAT_IPI || vcpu !== 0 || remote >= ports)
      refuse("events.records", "one names a state, vCPU or port that is not there");
  }
}

/** Their widths; whether this processor can have them is its vCPU's to say. */
function checkRegisters(record: MigrationRecord, own: MigrationRecord): void {
  const { registers, msrs, apic } = record;
  const { rip, rax, rsp, rflags } = registers;
  if (![rip, rax, rsp].every((pair) => areWords(pair, 2)) || !isWord(rflags))
    refuse("registers", "one is no register");
  const { timestamp, timestampAdjust, timestampAux, cstar } = msrs;
  if (![timestamp, timestampAdjust].every(Number.isFinite) || !isWord(timestampAux) || !areWords(cstar, 2))
    refuse("msrs", "one is no register");
  const { registers: words, base, errors, timer } = apic.apic;
  if (!areWords(words, own.apic.apic.registers.length) || !areWords(base, 2) || !isWord(errors))
    refuse("apic", "one is no register");
  if (timer.initial !== 0 || timer.deadline >= 0) refuse("apic", "its timer runs");
}
