import {
  Ept,
  FaultKind,
  LongModeTables,
  PaeTables,
  PagingMode,
  Pte,
  EptQualification as Q,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { describe, expect, test } from "vitest";
import { buildSpace, PAGE_GFN, type Shape, TABLE_GFN } from "../address-space.js";
import { GUEST_BASE, TestMachine } from "../machine.js";

type Call = "read" | "write" | "fetch" | "readSystem" | "writeSystem";

/** One 4 KiB page at linear 0x1000 with the given leaf, in a four-level native space. */
function native(leaf: number, fields: Partial<TranslationContext> = {}): TestMachine {
  const m = new TestMachine();
  const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  tables.map(1, GUEST_BASE, "4k", leaf);
  m.mmu.activate(m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame, ...fields }));
  return m;
}

function call(m: TestMachine, what: Call, lo: number, hi = 0): number {
  return what === "fetch" ? m.mmu.fetch(lo, hi) : m.mmu[what](lo, hi, 4);
}

const P = Pte.Present;
const W = Pte.Write;
const U = Pte.User;
const NX = Pte.NoExecute;

describe("#PF error codes (SDM vol. 3, 4.7)", () => {
  // leaf, access, context, error code or "ok"
  const rows: [string, number, Call, Partial<TranslationContext>, number | "ok"][] = [
    ["absent, supervisor read", 0, "read", {}, 0x0],
    ["absent, supervisor write", 0, "write", {}, 0x2],
    ["absent, user read", 0, "read", { user: true }, 0x4],
    ["absent, user write", 0, "write", { user: true }, 0x6],
    ["absent, user fetch", 0, "fetch", { user: true }, 0x14],
    ["absent, fetch without NXE and SMEP", 0, "fetch", { nxe: false }, 0x0],
    ["absent, fetch with SMEP alone", 0, "fetch", { nxe: false, smep: true }, 0x10],
    ["supervisor page, user read", P | W, "read", { user: true }, 0x5],
    ["supervisor page, user write", P | W, "write", { user: true }, 0x7],
    ["supervisor page, user fetch", P | W, "fetch", { user: true }, 0x15],
    ["supervisor page, implicit access at CPL 3", P | W, "writeSystem", { user: true }, "ok"],
    ["read-only page, user write", P | U, "write", { user: true }, 0x7],
    ["read-only page, supervisor write, WP", P, "write", {}, 0x3],
    ["read-only page, supervisor write, no WP", P, "write", { wp: false }, "ok"],
    ["read-only page, user write, no WP", P | U, "write", { wp: false, user: true }, 0x7],
    ["NX page, fetch", P | NX, "fetch", {}, 0x11],
    ["NX page, read", P | NX, "read", {}, "ok"],
    ["NX bit without NXE is reserved", P | NX, "read", { nxe: false }, 0x9],
    ["user page, supervisor fetch", P | U, "fetch", {}, "ok"],
    ["user page, supervisor fetch, SMEP", P | U, "fetch", { smep: true }, 0x11],
    ["user page, user fetch, SMEP", P | U, "fetch", { smep: true, user: true }, "ok"],
    ["user page, supervisor read, SMAP", P | U, "read", { smap: true }, 0x1],
    ["user page, supervisor write, SMAP", P | U | W, "write", { smap: true }, 0x3],
    ["user page, supervisor read, SMAP, AC", P | U, "read", { smap: true, ac: true }, "ok"],
    ["user page, implicit read, SMAP, AC", P | U, "readSystem", { smap: true, ac: true }, 0x1],
    ["user page, user read, SMAP", P | U, "read", { smap: true, user: true }, "ok"],
    ["key 3, access disabled", P | U | W | (3 << 27), "read", { pke: true, pkru: 1 << 6 }, 0x21],
    ["key 3, access disabled, supervisor", P | U | W | (3 << 27), "write", { pke: true, pkru: 1 << 6 }, 0x23],
    [
      "key 3, write disabled, user write",
      P | U | W | (3 << 27),
      "write",
      { pke: true, pkru: 2 << 6, user: true },
      0x27,
    ],
    [
      "key 3, write disabled, read",
      P | U | W | (3 << 27),
      "read",
      { pke: true, pkru: 2 << 6, user: true },
      "ok",
    ],
    [
      "key 3, write disabled, supervisor without WP",
      P | U | W | (3 << 27),
      "write",
      { pke: true, pkru: 2 << 6, wp: false },
      "ok",
    ],
    ["key 3, other keys disabled", P | U | W | (3 << 27), "write", { pke: true, pkru: ~(3 << 6) }, "ok"],
    ["key 3, access disabled, fetch", P | U | W | (3 << 27), "fetch", { pke: true, pkru: 1 << 6 }, "ok"],
    ["key 3 without CR4.PKE", P | U | W | (3 << 27), "read", { pkru: 1 << 6 }, "ok"],
    ["key 3 of a supervisor page", P | W | (3 << 27), "read", { pke: true, pkru: 1 << 6 }, "ok"],
    [
      "key 3 of a supervisor page, PKS, access disabled",
      P | W | (3 << 27),
      "read",
      { pks: true, pkrs: 1 << 6 },
      0x21,
    ],
    ["key 3, PKS, write disabled", P | W | (3 << 27), "write", { pks: true, pkrs: 2 << 6 }, 0x23],
    ["key 3, PKS, write disabled, read", P | W | (3 << 27), "read", { pks: true, pkrs: 2 << 6 }, "ok"],
    [
      "key 3, PKS, write disabled, without WP",
      P | W | (3 << 27),
      "write",
      { pks: true, pkrs: 2 << 6, wp: false },
      "ok",
    ],
    [
      "key 3, PKS, implicit access at CPL 3",
      P | W | (3 << 27),
      "readSystem",
      { pks: true, pkrs: 1 << 6, user: true },
      0x21,
    ],
    ["key 3, PKS, fetch", P | W | (3 << 27), "fetch", { pks: true, pkrs: 1 << 6 }, "ok"],
    ["key 3 of a user page, PKS alone", P | W | U | (3 << 27), "read", { pks: true, pkrs: 1 << 6 }, "ok"],
    ["key 3, PKU says no, PKS yes", P | W | (3 << 27), "read", { pke: true, pks: true, pkru: 1 << 6 }, "ok"],
  ];
  test.each(rows)("%s", (_name, leaf, what, fields, expected) => {
    const m = native(leaf, fields);
    const at = call(m, what, 0x1234);
    if (expected === "ok") expect(at).toBe(m.memory.frameOffset(GUEST_BASE) + 0x234);
    else {
      expect(at).toBe(-1);
      expect(m.mmu.fault).toMatchObject({
        kind: FaultKind.PageFault,
        errorCode: expected,
        linearLo: 0x1234,
        linearHi: 0,
      });
    }
  });

  test("the same verdict comes from a cached translation", () => {
    for (const [, leaf, what, fields, expected] of rows) {
      const m = native(leaf, fields);
      // Warm the TLBs by every access that is permitted, then ask twice.
      for (const other of ["readSystem", "fetch", "read"] as const) call(m, other, 0x1000);
      for (let i = 0; i < 2; i++) {
        const at = call(m, what, 0x1234);
        expect(at >= 0 ? "ok" : m.mmu.fault.errorCode).toBe(expected);
      }
    }
  });

  test("rights are the AND of all levels", () => {
    for (const [level, bit, what, user, code] of [
      [2, W, "write", false, 0x3],
      [3, U, "read", true, 0x5],
      [4, W, "write", true, 0x7],
    ] as const) {
      const m = native(P | W | U, { user });
      const root = m.mmu.context.rootFrame;
      // Tables were allocated from the root down.
      const address = (root + 4 - level) * 4096;
      m.memory.writeU32(address, m.memory.readU32(address) & ~bit);
      expect(call(m, what, 0x1000)).toBe(-1);
      expect(m.mmu.fault.errorCode).toBe(code);
    }
  });

  test("reserved address bits follow the guest's MAXPHYADDR", () => {
    const frame = 2 ** 30; // address bit 42
    for (const [physicalAddressBits, expected] of [
      [42, 0x9],
      [43, -1],
    ] as const) {
      const m = new TestMachine();
      const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
      tables.map(1, frame, "4k", P);
      m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame, physicalAddressBits }));
      expect(m.mmu.read(0x1000, 0, 1)).toBe(-1);
      if (expected === 0x9) expect(m.mmu.fault).toMatchObject({ kind: FaultKind.PageFault, errorCode: 0x9 });
      else expect(m.mmu.fault).toMatchObject({ kind: FaultKind.NoRam, gfn: frame });
    }
  });

  test("a misaligned superpage is reserved", () => {
    const m = native(P);
    const pd = m.mmu.context.rootFrame + 2;
    m.memory.writeU32(pd * 4096 + 8, 0x2000 | Pte.PageSize | P);
    expect(m.mmu.read(0x200000, 0, 1)).toBe(-1);
    expect(m.mmu.fault.errorCode).toBe(0x9);
    m.memory.writeU32(pd * 4096 + 8, 0x1000 | Pte.PageSize | P); // bit 12 is PAT
    expect(m.mmu.read(0x200000, 0, 1)).toBe(0 + m.memory.frameOffset(0));
  });
});

describe("canonical addresses", () => {
  test.each([
    [PagingMode.FourLevel, 0x00007fff, true],
    [PagingMode.FourLevel, 0x00008000, false],
    [PagingMode.FourLevel, 0xffff7fff, false],
    [PagingMode.FourLevel, 0xffff8000, true],
    [PagingMode.FourLevel, 0x80000000, false],
    [PagingMode.FiveLevel, 0x00008000, true],
    [PagingMode.FiveLevel, 0x00ffffff, true],
    [PagingMode.FiveLevel, 0x01000000, false],
    [PagingMode.FiveLevel, 0xfeffffff, false],
    [PagingMode.FiveLevel, 0xff000000, true],
  ])("%i levels, high word %i: %s", (paging, hi, canonical) => {
    const m = native(P, { paging });
    for (const what of ["read", "write", "fetch", "readSystem"] as const) {
      expect(call(m, what, 0x40, hi | 0)).toBe(-1);
      const kind = canonical ? FaultKind.PageFault : FaultKind.NonCanonical;
      expect(m.mmu.fault).toMatchObject({ kind, linearLo: 0x40, linearHi: hi | 0 });
    }
    expect(m.mmu.probe(0x40, hi | 0)).toBe(-1);
  });
});

/** A four-level guest over a four-level second stage, one page at linear 0. */
function nested(
  format: "npt" | "ept",
  accessDirty = true,
  leafAttributes = 7,
): TestMachine & { stage: NonNullable<ReturnType<typeof buildSpace>["stage"]> } {
  const m = new TestMachine();
  const shape: Shape = {
    paging: 4,
    leaf: "4k",
    stage: format,
    stageLevels: 4,
    tableLeaf: "4k",
    pageLeaf: "4k",
  };
  const space = buildSpace(m, shape, 2, leafAttributes);
  space.context.secondStage!.accessDirty = accessDirty;
  m.mmu.activate(space.context);
  return Object.assign(m, { stage: space.stage! });
}

describe("nested page faults (APM vol. 2, 15.25.6)", () => {
  const rows: [string, number, number, Call, [number, number] | "ok"][] = [
    ["page absent, read", PAGE_GFN, 0, "read", [0x4, 1]],
    ["page absent, write", PAGE_GFN, 0, "write", [0x6, 1]],
    ["page absent, fetch", PAGE_GFN, 0, "fetch", [0x14, 1]],
    ["page read-only, write", PAGE_GFN, P | U, "write", [0x7, 1]],
    ["page read-only, read", PAGE_GFN, P | U, "read", "ok"],
    ["page NX, fetch", PAGE_GFN, P | W | U | NX, "fetch", [0x15, 1]],
    ["table absent", TABLE_GFN + 3, 0, "read", [0x6, 2]],
    ["table read-only: a table access is a write", TABLE_GFN + 3, P | U, "read", [0x7, 2]],
    ["root table absent, fetch", TABLE_GFN, 0, "fetch", [0x6, 2]],
  ];
  test.each(rows)("%s", (_name, gfn, attributes, what, expected) => {
    const m = nested("npt");
    if (attributes === 0) m.stage.unmap(gfn);
    else m.stage.setAttributes(gfn, attributes);
    const at = call(m, what, 0x18);
    if (expected === "ok") expect(at).toBeGreaterThanOrEqual(0);
    else {
      expect(at).toBe(-1);
      // Tables lie behind each other; linear page 0 uses entry 0 of each.
      const gfnOffset = gfn === PAGE_GFN ? 0x18 : 0;
      const [errorCode, infoHi] = expected;
      expect(m.mmu.fault).toMatchObject({
        kind: FaultKind.NestedPageFault,
        errorCode,
        infoHi,
        gfn,
        gfnOffset,
        linearLo: 0x18,
      });
    }
  });

  test("a nested supervisor page refuses every guest access", () => {
    const m = nested("npt");
    m.stage.find(PAGE_GFN);
    const address = m.stage.pathFrame[1] * 4096 + m.stage.pathOffset[1];
    m.memory.writeU32(address, m.memory.readU32(address) & ~U);
    expect(m.mmu.read(0, 0, 1)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({ errorCode: 0x5, infoHi: 1 });
  });
});

describe("EPT violations (SDM vol. 3, table 28-7)", () => {
  const F = Q.LinearAddressValid | Q.Final;
  const WB = Ept.WriteBack;
  const rows: [string, number, number, Call, boolean, number | "ok"][] = [
    ["page absent, read", PAGE_GFN, 0, "read", false, F | Q.Read],
    ["page absent, write", PAGE_GFN, 0, "write", false, F | Q.Write],
    ["page absent, fetch", PAGE_GFN, 0, "fetch", false, F | Q.Fetch],
    ["read-only page, write", PAGE_GFN, Ept.Read | WB, "write", false, F | Q.Write | Q.Readable],
    [
      "read-write page, fetch",
      PAGE_GFN,
      Ept.Read | Ept.Write | WB,
      "fetch",
      true,
      F | Q.Fetch | Q.Readable | Q.Writable,
    ],
    ["execute-only page, read", PAGE_GFN, Ept.Execute | WB, "read", false, F | Q.Read | Q.Executable],
    ["execute-only page, fetch", PAGE_GFN, Ept.Execute | WB, "fetch", false, "ok"],
    ["table absent", TABLE_GFN + 3, 0, "write", false, Q.LinearAddressValid | Q.Read],
    [
      "table absent, A/D: the access is a write too",
      TABLE_GFN + 3,
      0,
      "read",
      true,
      Q.LinearAddressValid | Q.Read | Q.Write,
    ],
    [
      "read-only table, A/D",
      TABLE_GFN + 3,
      Ept.Read | WB,
      "read",
      true,
      Q.LinearAddressValid | Q.Read | Q.Write | Q.Readable,
    ],
    [
      "read-only table, no A/D, flag to set",
      TABLE_GFN + 3,
      Ept.Read | WB,
      "read",
      false,
      Q.LinearAddressValid | Q.Write | Q.Readable,
    ],
  ];
  test.each(rows)("%s", (_name, gfn, attributes, what, accessDirty, expected) => {
    const m = nested("ept", accessDirty);
    if (attributes === 0) m.stage.unmap(gfn);
    else m.stage.setAttributes(gfn, attributes);
    const at = call(m, what, 0x18);
    if (expected === "ok") expect(at).toBeGreaterThanOrEqual(0);
    else {
      expect(at).toBe(-1);
      expect(m.mmu.fault).toMatchObject({
        kind: FaultKind.EptViolation,
        errorCode: expected,
        infoHi: 0,
        gfn,
        gfnOffset: gfn === PAGE_GFN ? 0x18 : 0,
      });
    }
  });

  test("a read-only guest table is fine once its flags are set", () => {
    const m = nested("ept", false, 7 | Pte.Accessed);
    m.stage.setAttributes(TABLE_GFN + 3, Ept.Read | WB);
    expect(m.mmu.read(0, 0, 1)).toBeGreaterThanOrEqual(0);
    expect(m.mmu.write(0, 0, 1)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({ kind: FaultKind.EptViolation, gfn: TABLE_GFN + 3 });
  });

  test.each([
    ["write-only", Ept.Write],
    ["write and execute", Ept.Write | Ept.Execute],
    ["memory type 2", Ept.Read | (2 << 3)],
    ["memory type 7", Ept.Read | (7 << 3)],
  ])("%s is a misconfiguration", (_name, attributes) => {
    const m = nested("ept");
    m.stage.setAttributes(PAGE_GFN, attributes);
    expect(m.mmu.read(0x18, 0, 1)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({
      kind: FaultKind.EptMisconfig,
      errorCode: 0,
      gfn: PAGE_GFN,
      gfnOffset: 0x18,
    });
  });
});

describe("mode-based execute control (SDM vol. 3, 29.3.2 and table 28-7)", () => {
  const F = Q.LinearAddressValid | Q.Final;
  const { Read, Execute, UserExecute } = Ept;
  // EPT leaf, guest leaf, fetched by a user; exit qualification or "ok"
  const rows: [string, number, boolean, boolean, number | "ok"][] = [
    ["XS alone, supervisor address", Read | Execute, false, false, "ok"],
    ["XS alone, user address", Read | Execute, true, true, F | Q.Fetch | Q.Readable | Q.Executable],
    ["XU alone, user address", Read | UserExecute, true, true, "ok"],
    ["XU alone, user address at CPL 0", Read | UserExecute, true, false, "ok"],
    [
      "XU alone, supervisor address",
      Read | UserExecute,
      false,
      false,
      F | Q.Fetch | Q.Readable | Q.UserExecutable,
    ],
    ["neither", Read, true, true, F | Q.Fetch | Q.Readable],
    ["XU and nothing else: present", UserExecute, true, true, "ok"],
  ];
  test.each(rows)("%s", (_name, attributes, userPage, user, expected) => {
    const m = nested("ept", true, userPage ? 7 : 3);
    m.mmu.context.secondStage!.modeBasedExecute = true;
    m.mmu.context.user = user;
    m.mmu.reload();
    // The editor's own table entries permit no user fetches.
    m.stage.find(PAGE_GFN);
    for (let level = 4; level >= 1; level--) {
      const address = m.stage.pathFrame[level] * 4096 + m.stage.pathOffset[level];
      const entry = m.memory.readU32(address);
      const keep = level === 1 ? entry & ~(Ept.All | Ept.UserExecute) : entry;
      m.memory.writeU32(address, (keep | (level === 1 ? attributes : UserExecute)) >>> 0);
    }
    for (let i = 0; i < 2; i++) {
      const at = m.mmu.fetch(0, 0);
      if (expected === "ok") expect(at).toBeGreaterThanOrEqual(0);
      else {
        expect(at).toBe(-1);
        expect(m.mmu.fault).toMatchObject({ kind: FaultKind.EptViolation, errorCode: expected });
      }
    }
  });

  test("a page cached for a user address does not let a supervisor address fetch", () => {
    const m = new TestMachine();
    const stage = m.stage("ept");
    stage.map(0, GUEST_BASE, "4k", Read | Execute | Ept.WriteBack);
    const secondStage = {
      format: "ept",
      rootFrame: stage.rootFrame,
      levels: 4,
      tag: 0,
      accessDirty: false,
      modeBasedExecute: true,
    } as const;
    // Without paging every linear address is a user-mode one.
    m.mmu.activate(m.context({ asid: 1, secondStage }));
    expect(m.mmu.read(0, 0, 1)).toBeGreaterThanOrEqual(0);
    expect(m.mmu.fetch(0, 0)).toBe(-1);
    expect(m.mmu.fault.errorCode).toBe(F | Q.Fetch | Q.Readable | Q.Executable);
  });
});

describe("page-modification logging (SDM vol. 3, 29.3.6)", () => {
  const LOG = 0x3000;
  function logging(index: number): ReturnType<typeof nested> & { log: { frame: number; index: number } } {
    const m = nested("ept", true, 7);
    const log = { frame: LOG, index };
    // The stage of the tests is built with its flags set.
    for (const gfn of [TABLE_GFN, TABLE_GFN + 1, TABLE_GFN + 2, TABLE_GFN + 3, PAGE_GFN])
      m.stage.setAttributes(gfn, Ept.All | Ept.WriteBack);
    m.mmu.context.secondStage!.modificationLog = log;
    m.mmu.reload();
    return Object.assign(m, { log });
  }
  const entries = (m: TestMachine, from: number, to: number): number[] =>
    Array.from({ length: from - to }, (_, i) => Number(m.memory.readU64(LOG * 4096 + (from - i) * 8)) / 4096);

  test("a read logs the guest's tables, in the order of the walk; a write then logs the page", () => {
    const m = logging(511);
    expect(m.mmu.read(0x18, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.log.index).toBe(507);
    expect(entries(m, 511, 507)).toEqual([TABLE_GFN, TABLE_GFN + 1, TABLE_GFN + 2, TABLE_GFN + 3]);
    for (let i = 0; i < 3; i++) expect(m.mmu.write(0x18, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.log.index).toBe(506);
    expect(entries(m, 507, 506)).toEqual([PAGE_GFN]);
  });

  test("entry 0 is used; then the log is full: no flag, no access, until software empties it", () => {
    const m = logging(4);
    expect(m.mmu.write(0, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.log.index).toBe(0xffff);
    m.stage.setAttributes(PAGE_GFN, Ept.All | Ept.WriteBack);
    m.mmu.invalidateNested(-1);
    expect(m.mmu.write(0x18, 0, 8)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({
      kind: FaultKind.ModificationLogFull,
      errorCode: 0,
      gfn: PAGE_GFN,
      gfnOffset: 0x18,
      linearLo: 0x18,
    });
    expect(m.stage.entry(PAGE_GFN)!.attributes & (Ept.Accessed | Ept.Dirty)).toBe(0);
    m.log.index = 511;
    expect(m.mmu.write(0x18, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.stage.entry(PAGE_GFN)!.attributes & (Ept.Accessed | Ept.Dirty)).toBe(Ept.Accessed | Ept.Dirty);
  });

  test("a full log also stops an access that would set an accessed flag alone", () => {
    const m = logging(0xffff);
    m.mmu.context.paging = PagingMode.None;
    m.mmu.reload();
    expect(m.mmu.read((PAGE_GFN << 12) | 0, 0, 8)).toBe(-1);
    expect(m.mmu.fault.kind).toBe(FaultKind.ModificationLogFull);
  });

  test("every page of a large one is named by its own address", () => {
    const m = new TestMachine();
    const stage = m.stage("ept");
    stage.map(0, GUEST_BASE, "2m", Ept.All | Ept.WriteBack);
    const log = { frame: LOG, index: 7 };
    const secondStage = {
      format: "ept",
      rootFrame: stage.rootFrame,
      levels: 4,
      tag: 0,
      accessDirty: true,
      modificationLog: log,
    } as const;
    m.mmu.activate(m.context({ asid: 1, secondStage }));
    expect(m.mmu.write(0x5678, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.memory.readU64(LOG * 4096 + 7 * 8)).toBe(0x5000n);
    expect(log.index).toBe(6);
  });
});

test("guest-physical addresses beyond 48 bits fault in a four-level second stage", () => {
  for (const format of ["npt", "ept"] as const) {
    const m = nested(format);
    const c = m.mmu.context;
    c.paging = PagingMode.None;
    m.mmu.reload();
    expect(m.mmu.read(0, 0x10000, 1)).toBe(-1);
    expect(m.mmu.fault.gfn).toBe(2 ** 36);
    expect(m.mmu.fault.kind).toBe(format === "npt" ? FaultKind.NestedPageFault : FaultKind.EptViolation);
  }
});

describe("PDPTE registers", () => {
  function pae(entry: bigint): { m: TestMachine; result: number } {
    const m = new TestMachine();
    const tables = new PaeTables({ memory: m.memory, allocate: m.allocate });
    tables.map(0x40000, GUEST_BASE, "4k", P | W);
    m.memory.writeU64(tables.rootFrame * 4096 + 24, entry);
    m.mmu.activate(m.context({ paging: PagingMode.Pae, physicalAddressBits: 40 }));
    return { m, result: m.mmu.loadPdptes(tables.rootFrame * 4096) };
  }
  test("are loaded from the table and used", () => {
    const { m, result } = pae(0n);
    expect(result).toBe(0);
    expect(m.mmu.read(0x40000000, 0, 1)).toBe(m.memory.frameOffset(GUEST_BASE));
    expect(m.mmu.read(0xc0000000 | 0, 0, 1)).toBe(-1);
    expect(m.mmu.fault.kind).toBe(FaultKind.PageFault);
  });
  test.each([
    ["bit 1", 0x1003n, 1],
    ["bit 5", 0x1021n, 1],
    ["address bit 40", (1n << 40n) | 1n, 1],
    ["bit 63", (1n << 63n) | 1n, 1],
    ["reserved bits of an absent entry", 0x1022n, 0],
    ["attribute bits 3 and 4", 0x1019n, 0],
  ])("%s", (_name, entry, expected) => {
    const { m, result } = pae(entry);
    expect(result).toBe(expected);
    // On #GP the registers keep what they held: nothing.
    if (expected === 1) expect([...m.mmu.context.pdpte]).toEqual([0, 0, 0, 0]);
  });
  test("a second-stage fault while loading has no linear address", () => {
    const m = nested("ept");
    m.mmu.context.paging = PagingMode.Pae;
    m.mmu.reload();
    m.stage.unmap(PAGE_GFN + 1);
    expect(m.mmu.loadPdptes(((PAGE_GFN + 1) << 12) | 0)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({ kind: FaultKind.EptViolation, gfn: PAGE_GFN + 1 });
    expect(m.mmu.fault.errorCode & (Q.LinearAddressValid | Q.Final)).toBe(0);
  });
});
