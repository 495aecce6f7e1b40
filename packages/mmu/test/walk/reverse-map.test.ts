import {
  FaultKind,
  HYPERVISOR_PAGE,
  LongModeTables,
  MmuCounter,
  NPF_ENCRYPTED,
  NPF_SIZE_MISMATCH,
  PageFaultCode,
  PageValidation,
  PagingMode,
  type RadixTables,
  ReverseMap,
  type ReverseMapEntry,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { beforeEach, expect, test } from "vitest";
import { ENCRYPTED_FRAME } from "../../src/memory-encryption.ts";
import { OPEN, PAGE_GFN, TABLE_GFN } from "../address-space.ts";
import { GUEST_BASE, TestMachine } from "../machine.ts";

const ASID = 5;
const TABLES = 8;
const PAGES = 4;
/** Page i of the guest is at linear page i with the C-bit, and at SHARED + i without. */
const SHARED = 16;
/** A 2 MiB page, at linear page LARGE; its guest frame is aligned. */
const LARGE = 1024;
const LARGE_GFN = 0x8000;
const MAP_FIRST = 0x180000;
const DESCRIBED = 0x100000;

let machine: TestMachine;
let context: TranslationContext;
let stage: RadixTables;
let map: ReverseMap;

const frameOf = (gfn: number) => gfn + GUEST_BASE;
const own = (gfn: number, more: Partial<ReverseMapEntry> = {}): ReverseMapEntry => ({
  ...HYPERVISOR_PAGE,
  assigned: true,
  asid: ASID,
  gfn,
  validated: true,
  ...more,
});
const setPage = (i: number, more: Partial<ReverseMapEntry> = {}) =>
  map.write(frameOf(PAGE_GFN + i), own(PAGE_GFN + i, more));

beforeEach(() => {
  machine = new TestMachine();
  const { memory, mmu } = machine;
  memory.encryptsMemory = true;
  stage = machine.stage("npt");
  stage.mapRange(TABLE_GFN, frameOf(TABLE_GFN), TABLES, "4k", OPEN);
  stage.mapRange(PAGE_GFN, frameOf(PAGE_GFN), PAGES, "4k", OPEN);
  stage.map(LARGE_GFN, frameOf(LARGE_GFN), "2m", OPEN);
  let next = TABLE_GFN;
  const tables = new LongModeTables({ memory, allocate: () => next++, locate: frameOf });
  for (let i = 0; i < PAGES; i++) {
    tables.map(i, ENCRYPTED_FRAME + PAGE_GFN + i, "4k", OPEN);
    tables.map(SHARED + i, PAGE_GFN + i, "4k", OPEN);
  }
  tables.map(LARGE, ENCRYPTED_FRAME + LARGE_GFN, "2m", OPEN);
  map = new ReverseMap(memory, MAP_FIRST, DESCRIBED);
  for (let gfn = TABLE_GFN; gfn < TABLE_GFN + TABLES; gfn++) {
    if (gfn < next) memory.encryptInPlace(frameOf(gfn), ASID);
    map.write(frameOf(gfn), own(gfn));
  }
  setPage(0);
  map.write(frameOf(LARGE_GFN), own(LARGE_GFN, { large: true }));
  for (let i = 1; i < 512; i++)
    map.write(frameOf(LARGE_GFN) + i, own(LARGE_GFN, { large: true, validated: false }));
  mmu.useReverseMap(map);
  context = machine.context({ paging: PagingMode.FourLevel, asid: ASID, rootFrame: tables.rootFrame });
  context.secondStage = {
    format: "npt",
    rootFrame: stage.rootFrame,
    levels: 4,
    tag: 0,
    accessDirty: true,
    encryptionKey: ASID,
    secure: true,
  };
  mmu.activate(context);
});

const read = (page: number) => machine.mmu.read((page << 12) | 0, page >>> 20, 4);
const write = (page: number) => machine.mmu.write((page << 12) | 0, page >>> 20, 4);
const validate = (page: number, large = false, valid = true) =>
  machine.mmu.validatePage((page << 12) | 0, page >>> 20, large, valid);

/** Kind and error of the fault that a read or write ends in. */
function faultOf(access: (page: number) => number, page: number): readonly [number, number, number] {
  expect(access(page)).toBe(-1);
  const { kind, errorCode, infoHi } = machine.mmu.fault;
  return [kind, errorCode & PageFaultCode.Rmp, infoHi & (NPF_ENCRYPTED | NPF_SIZE_MISMATCH)];
}
const PRIVATE_VIOLATION = [FaultKind.NestedPageFault, PageFaultCode.Rmp, NPF_ENCRYPTED];
const SHARED_VIOLATION = [FaultKind.NestedPageFault, PageFaultCode.Rmp, 0];

test("an entry comes back as it was written, and its neighbours stay", () => {
  const entry: ReverseMapEntry = {
    assigned: true,
    large: true,
    immutable: true,
    gfn: 2 ** 38 + 2 ** 20 + 12345,
    asid: 1006,
    vmsa: true,
    validated: true,
    permissions: 0xf1f2f3f4,
  };
  map.write(77, entry);
  expect(map.read(77)).toEqual(entry);
  expect([map.read(76), map.read(78), map.read(DESCRIBED)]).toEqual(Array(3).fill(HYPERVISOR_PAGE));
  // 16 KiB of the processor's own come first (APM vol. 2, 15.36.4).
  expect(machine.memory.readU32(map.base + 16384 + 77 * 16) & 1).toBe(1);
  expect(map.end).toBe(map.base + 16384 + DESCRIBED * 16 - 1);
  expect(() => map.write(DESCRIBED, entry)).toThrow(RangeError);
});

test("a cold walk reads one entry more for each page it translates, a repeated access none", () => {
  const { counters, mmu } = machine;
  const references = () => counters[MmuCounter.WalkReferences];
  // 4 guest levels and 4 nested ones: 24 references, and 5 translations with an entry each.
  expect(read(0)).toBeGreaterThan(0);
  expect(references()).toBe(24 + 5);
  expect(read(0)).toBeGreaterThan(0);
  expect(references()).toBe(24 + 5);
  // The nested TLB keeps the verdict: the walk reads the four guest entries alone.
  mmu.translations.forgetLinear(0, 0, ASID, 0, 0);
  mmu.translations.walk.structures.dropAll();
  machine.mmu.reload();
  expect(read(0)).toBeGreaterThan(0);
  expect(references()).toBe(24 + 5 + 4);
});

test("without a reverse map nothing is read, and everything is the host's", () => {
  const plain = new TestMachine();
  expect(plain.mmu.hostMayWrite(1)).toBe(true);
  expect(plain.charged).toBe(0);
  expect(machine.mmu.hostMayWrite(frameOf(PAGE_GFN))).toBe(false);
  expect(machine.mmu.hostMayWrite(frameOf(PAGE_GFN + 1))).toBe(true);
  expect(machine.mmu.hostMayWrite(DESCRIBED + 1)).toBe(true);
  // Two entries from DRAM; what has none costs nothing.
  expect(machine.counters[MmuCounter.WalkReferences]).toBe(2);
});

test("a private access needs owner, address, size and validation to be right", () => {
  expect(faultOf(read, 1)).toEqual(PRIVATE_VIOLATION);
  const wrong: readonly Partial<ReverseMapEntry>[] = [
    { asid: ASID + 1 },
    { gfn: PAGE_GFN },
    { large: true },
    { vmsa: true },
    { immutable: true },
  ];
  for (const more of wrong) {
    setPage(1, more);
    expect(faultOf(read, 1)).toEqual(PRIVATE_VIOLATION);
  }
  setPage(1, { validated: false });
  expect(faultOf(write, 1)).toEqual([FaultKind.NotValidated, 0, 0]);
  expect(machine.mmu.fault.linearLo).toBe(1 << 12);
  setPage(1);
  expect(write(1)).toBeGreaterThan(0);
});

test("a table of the guest's that is not its own faults as a table", () => {
  map.write(frameOf(TABLE_GFN), own(TABLE_GFN, { asid: ASID + 1 }));
  expect(faultOf(read, 0)).toEqual(PRIVATE_VIOLATION);
  expect(machine.mmu.fault.infoHi & 2).toBe(2);
});

test("a shared page is read whoever owns it, and written only as the hypervisor's", () => {
  expect(read(SHARED)).toBeGreaterThan(0);
  expect(faultOf(write, SHARED)).toEqual(SHARED_VIOLATION);
  expect(read(SHARED + 1)).toBeGreaterThan(0);
  expect(write(SHARED + 1)).toBeGreaterThan(0);
});

test("a guest that is not SNP-active may read what others own and not write it", () => {
  context.secondStage = { ...context.secondStage!, secure: false, encryptionKey: 0 };
  // Its tables are plain for it, as they are for the machine: a tiny address space without paging.
  context.paging = PagingMode.None;
  machine.mmu.reload();
  expect(machine.mmu.read(PAGE_GFN << 12, 0, 4)).toBeGreaterThan(0);
  expect(faultOf((page) => machine.mmu.write(page << 12, 0, 4), PAGE_GFN)).toEqual(SHARED_VIOLATION);
  expect(machine.mmu.write((PAGE_GFN + 1) << 12, 0, 4)).toBeGreaterThan(0);
});

test("2 MiB in both tables is one translation of 2 MiB; 2 MiB over 4 KiB is a violation", () => {
  expect(read(LARGE)).toBeGreaterThan(0);
  const walks = machine.counters[MmuCounter.Walks];
  expect(read(LARGE + 300)).toBeGreaterThan(0);
  expect(machine.counters[MmuCounter.Walks]).toBe(walks);
  map.smash(frameOf(LARGE_GFN) + 7);
  machine.mmu.invalidateAll();
  expect(map.read(frameOf(LARGE_GFN) + 300)).toEqual(own(LARGE_GFN + 300));
  expect(faultOf(read, LARGE + 300)).toEqual(PRIVATE_VIOLATION);
  stage.split(LARGE_GFN);
  expect(read(LARGE + 300)).toBeGreaterThan(0);
});

test("PVALIDATE changes the entry once, and taking it back takes the translation away", () => {
  setPage(1, { validated: false });
  expect(validate(1)).toBe(PageValidation.Changed);
  expect(validate(1)).toBe(PageValidation.Unchanged);
  expect(map.read(frameOf(PAGE_GFN + 1))).toEqual(own(PAGE_GFN + 1));
  expect(read(1)).toBeGreaterThan(0);
  expect(validate(1, false, false)).toBe(PageValidation.Changed);
  expect(faultOf(read, 1)).toEqual([FaultKind.NotValidated, 0, 0]);
  // It looks at private pages, whatever the C-bit of the address says.
  expect(validate(SHARED + 1)).toBe(PageValidation.Changed);
  expect(read(1)).toBeGreaterThan(0);
});

test("PVALIDATE of a page that is not the guest's, or not there, changes nothing", () => {
  const before = map.read(frameOf(PAGE_GFN + 1));
  expect(faultOf((page) => validate(page), 1)).toEqual(PRIVATE_VIOLATION);
  map.write(frameOf(PAGE_GFN + 1), own(PAGE_GFN));
  expect(faultOf((page) => validate(page), 1)).toEqual(PRIVATE_VIOLATION);
  expect(faultOf((page) => validate(page), 200)[0]).toBe(FaultKind.PageFault);
  expect(map.read(frameOf(PAGE_GFN + 1))).toEqual(own(PAGE_GFN));
  expect(before).toEqual(HYPERVISOR_PAGE);
});

test("sizes have to agree: 2 MiB of small pages is told, 4 KiB of a large one leaves for a split", () => {
  expect(validate(0, true)).toBe(PageValidation.SizeMismatch);
  expect(faultOf((page) => validate(page), LARGE + 3)).toEqual([
    FaultKind.NestedPageFault,
    PageFaultCode.Rmp,
    NPF_ENCRYPTED | NPF_SIZE_MISMATCH,
  ]);
  expect(machine.mmu.fault.gfn).toBe(LARGE_GFN + 3);
  expect(validate(LARGE, true)).toBe(PageValidation.Unchanged);
  expect(validate(LARGE, true, false)).toBe(PageValidation.Changed);
  expect(faultOf(read, LARGE + 300)[0]).toBe(FaultKind.NotValidated);
});

test("RMPADJUST sets a VMPL's permissions and what makes a page a VMSA", () => {
  expect(machine.mmu.adjustPage(0, 0, false, 2, 0x0f, true)).toBe(PageValidation.Changed);
  expect(map.read(frameOf(PAGE_GFN))).toEqual(own(PAGE_GFN, { vmsa: true, permissions: 0x0f0000 }));
  expect(faultOf(read, 0)).toEqual(PRIVATE_VIOLATION);
});

test("with timing off the verdicts are the same, and nothing is charged", () => {
  setPage(2, { validated: false });
  const verdicts = () =>
    [read(0), read(1), write(SHARED), read(SHARED), read(2), write(LARGE + 9)].map((at) => at >= 0);
  const timed = verdicts();
  machine.mmu.setTimed(false);
  const { charged } = machine;
  expect(verdicts()).toEqual(timed);
  expect(timed).toEqual([true, false, false, true, false, true]);
  expect(machine.charged).toBe(charged);
});
