import {
  encryptedFrame,
  FaultKind,
  LongModeTables,
  PagingMode,
  type RadixTables,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { expect, test } from "vitest";
import { ENCRYPTED_FRAME } from "../../src/memory-encryption.ts";
import { OPEN, PAGE_GFN, TABLE_GFN } from "../address-space.ts";
import { bytesOf, GUEST_BASE, TestMachine } from "../machine.ts";

const KEY = 5;
const TABLES = 8;
const PAGES = 4;
/** Page i of the guest is at linear page i with the C-bit, and at SHARED + i without. */
const SHARED = 16;

interface EncryptedGuest {
  readonly machine: TestMachine;
  readonly context: TranslationContext;
  readonly stage: RadixTables;
}

/** Tables and pages are encrypted, as a launch leaves them. */
function encryptedGuest(bypassFilter = false, paging: number = PagingMode.FourLevel): EncryptedGuest {
  const machine = new TestMachine(undefined, { bypassFilter });
  const { memory, mmu } = machine;
  memory.encryptsMemory = true;
  const stage = machine.stage("npt");
  stage.mapRange(TABLE_GFN, TABLE_GFN + GUEST_BASE, TABLES, "4k", OPEN);
  stage.mapRange(PAGE_GFN, PAGE_GFN + GUEST_BASE, PAGES, "4k", OPEN);
  let next = TABLE_GFN;
  const tables = new LongModeTables({ memory, allocate: () => next++, locate: (gfn) => gfn + GUEST_BASE });
  for (let i = 0; i < PAGES; i++) {
    tables.map(i, ENCRYPTED_FRAME + PAGE_GFN + i, "4k", OPEN);
    tables.map(SHARED + i, PAGE_GFN + i, "4k", OPEN);
  }
  for (let gfn = TABLE_GFN; gfn < next; gfn++) memory.encryptInPlace(gfn + GUEST_BASE, KEY);
  const context = machine.context({ paging, asid: KEY, rootFrame: tables.rootFrame });
  context.secondStage = {
    format: "npt",
    rootFrame: stage.rootFrame,
    levels: 4,
    tag: 0,
    accessDirty: true,
    encryptionKey: KEY,
  };
  mmu.activate(context);
  return { machine, context, stage };
}

function write({ machine }: EncryptedGuest, page: number, offset: number, value: number): void {
  const at = machine.mmu.write(page * 4096 + offset, 0, 4);
  expect(at).toBeGreaterThan(0);
  machine.arena.view.setUint32(at, value, true);
  machine.mmu.commitWrite();
}

function read({ machine }: EncryptedGuest, page: number, offset: number): number {
  const at = machine.mmu.read(page * 4096 + offset, 0, 4);
  expect(at).toBeGreaterThan(0);
  return machine.arena.view.getUint32(at, true);
}

const machineFrame = (i: number) => PAGE_GFN + GUEST_BASE + i;

test("the walk decrypts its tables, and the C-bit of the leaf decides about the page", () => {
  const guest = encryptedGuest();
  write(guest, 0, 8, 0x12345678);
  write(guest, SHARED + 1, 8, 0x12345678);
  const { memory } = guest.machine;
  expect(memory.readU32(encryptedFrame(machineFrame(0), KEY) * 4096 + 8)).toBe(0x12345678);
  expect(memory.readU32(machineFrame(0) * 4096 + 8)).not.toBe(0x12345678);
  expect(memory.readU32(machineFrame(1) * 4096 + 8)).toBe(0x12345678);
});

test("without the key the same tables lead nowhere", () => {
  const guest = encryptedGuest();
  const { context, machine } = guest;
  context.secondStage = { ...context.secondStage!, encryptionKey: KEY + 1 };
  machine.mmu.reload();
  expect(machine.mmu.read(0, 0, 4)).toBe(-1);
  expect([FaultKind.PageFault, FaultKind.NestedPageFault]).toContain(machine.mmu.fault.kind);
});

test("instruction fetches are encrypted whatever the leaf says", () => {
  const guest = encryptedGuest();
  write(guest, 0, 0, 0x90909090);
  const { machine } = guest;
  const at = machine.mmu.fetch(SHARED * 4096, 0);
  expect(machine.arena.view.getUint32(at, true)).toBe(0x90909090);
});

test("without paging everything is encrypted", () => {
  const guest = encryptedGuest(false, PagingMode.None);
  const at = guest.machine.mmu.write(PAGE_GFN << 12, 0, 4);
  guest.machine.arena.view.setUint32(at, 0xcafe, true);
  const { memory } = guest.machine;
  expect(memory.readU32(encryptedFrame(machineFrame(0), KEY) * 4096)).toBe(0xcafe);
});

test("a nested page fault names the guest-physical address without the C-bit", () => {
  const guest = encryptedGuest();
  const { machine, stage } = guest;
  stage.unmap(PAGE_GFN + 2);
  expect(machine.mmu.read(2 * 4096 + 0x10, 0, 4)).toBe(-1);
  expect(machine.mmu.fault).toMatchObject({
    kind: FaultKind.NestedPageFault,
    gfn: PAGE_GFN + 2,
    gfnOffset: 0x10,
  });
});

test("both views of a page are coherent, with and without the simulator's shortcuts, and cost the same", () => {
  const runs = [false, true].map((bypassFilter) => {
    const guest = encryptedGuest(bypassFilter);
    const seen: number[] = [];
    let seed = 7;
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * limit);
    };
    for (let i = 0; i < 600; i++) {
      const page = random(PAGES) + (random(3) === 0 ? SHARED : 0);
      const offset = random(1024) * 4;
      if (random(2) === 0) write(guest, page, offset, random(2 ** 32));
      else seen.push(read(guest, page, offset));
    }
    const { machine } = guest;
    return { seen, charged: machine.charged, state: bytesOf(machine) };
  });
  expect(runs[0].seen).toEqual(runs[1].seen);
  expect(runs[0].charged).toBe(runs[1].charged);
  expect(runs[0].state).toEqual(runs[1].state);
});

test("what one view wrote is what that view reads, after the other one has been read in between", () => {
  const guest = encryptedGuest();
  for (let i = 0; i < 8; i++) {
    write(guest, 3, 64 * i, i + 1);
    expect(read(guest, SHARED + 3, 64 * i)).not.toBe(i + 1);
    expect(read(guest, 3, 64 * i)).toBe(i + 1);
  }
});

test("untimed accesses come to the same bytes", () => {
  const seen = [true, false].map((timed) => {
    const guest = encryptedGuest();
    guest.machine.mmu.setTimed(timed);
    write(guest, 0, 0, 0xabcd);
    write(guest, SHARED + 1, 4, 0xef01);
    return [read(guest, 0, 0), read(guest, SHARED, 0), read(guest, 1, 4), read(guest, SHARED + 1, 4)];
  });
  expect(seen[0]).toEqual(seen[1]);
  expect(seen[0][0]).toBe(0xabcd);
});

test("a probe finds the view that an access would use", () => {
  const guest = encryptedGuest();
  const { mmu } = guest.machine;
  expect(mmu.probe(0, 0)).toBe(encryptedFrame(machineFrame(0), KEY));
  expect(mmu.probe(SHARED << 12, 0)).toBe(machineFrame(0));
});
