import { Arena, PhysicalMemory } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import {
  adjustControls,
  CAPABILITIES,
  ExtendedPageTableTags,
  FieldKind,
  FieldWidth,
  InstructionError,
  VMCS_FIELDS,
  Vmcs,
  VmcsField,
} from "../../src/vmx/index.js";
import { GROUP_OF_FIELD, REGION_WORDS, WORD_OF_FIELD } from "../../src/vmx/vmcs-layout.js";

describe("VMCS field encodings", () => {
  // SDM vol. 3, appendix B.
  it.each([
    ["Vpid", 0x0000],
    ["GuestCsSelector", 0x0802],
    ["GuestTrSelector", 0x080e],
    ["HostTrSelector", 0x0c0c],
    ["IoBitmapA", 0x2000],
    ["MsrBitmap", 0x2004],
    ["EntryMsrLoadAddress", 0x200a],
    ["TscOffset", 0x2010],
    ["EptPointer", 0x201a],
    ["GuestPhysicalAddress", 0x2400],
    ["VmcsLinkPointer", 0x2800],
    ["GuestEfer", 0x2806],
    ["GuestPdpte3", 0x2810],
    ["HostEfer", 0x2c02],
    ["PinBasedControls", 0x4000],
    ["ExceptionBitmap", 0x4004],
    ["EntryControls", 0x4012],
    ["EntryInterruptionInfo", 0x4016],
    ["SecondaryControls", 0x401e],
    ["InstructionError", 0x4400],
    ["ExitReason", 0x4402],
    ["IdtVectoringInfo", 0x4408],
    ["ExitInstructionLength", 0x440c],
    ["GuestEsLimit", 0x4800],
    ["GuestCsAccessRights", 0x4816],
    ["GuestInterruptibility", 0x4824],
    ["GuestActivityState", 0x4826],
    ["GuestSysenterCs", 0x482a],
    ["HostSysenterCs", 0x4c00],
    ["Cr0Mask", 0x6000],
    ["Cr4ReadShadow", 0x6006],
    ["ExitQualification", 0x6400],
    ["GuestLinearAddress", 0x640a],
    ["GuestCr0", 0x6800],
    ["GuestGdtrBase", 0x6816],
    ["GuestRsp", 0x681c],
    ["GuestRip", 0x681e],
    ["GuestRflags", 0x6820],
    ["HostCr3", 0x6c02],
    ["HostRip", 0x6c16],
  ] as const)("%s is 0x%x", (name, encoding) => {
    expect(VmcsField[name]).toBe(encoding);
  });

  it("tell width and kind", () => {
    const info = (name: string) => VMCS_FIELDS.find((field) => field.name === name)!;
    expect(info("GuestCsSelector")).toMatchObject({ width: FieldWidth.Bits16, kind: FieldKind.GuestState });
    expect(info("EptPointer")).toMatchObject({ width: FieldWidth.Bits64, kind: FieldKind.Control });
    expect(info("ExitReason")).toMatchObject({ width: FieldWidth.Bits32, writable: false });
    expect(info("HostRip")).toMatchObject({ width: FieldWidth.Natural, kind: FieldKind.HostState });
    expect(new Set(VMCS_FIELDS.map((field) => field.encoding)).size).toBe(VMCS_FIELDS.length);
    for (const { encoding } of VMCS_FIELDS) expect(encoding & 1).toBe(0);
  });

  it("have words of their own inside one frame", () => {
    const used = new Set<number>([0, 1, 2, 3]);
    for (const { encoding, width } of VMCS_FIELDS) {
      const word = WORD_OF_FIELD[encoding >>> 1];
      const count = width === FieldWidth.Bits64 || width === FieldWidth.Natural ? 2 : 1;
      for (let i = 0; i < count; i++) {
        expect(used.has(word + i)).toBe(false);
        used.add(word + i);
      }
    }
    expect(REGION_WORDS).toBeLessThanOrEqual(1024);
    expect(WORD_OF_FIELD[VmcsField.GuestRip >>> 1]).toBeLessThan(32); // a hot field, within two lines
  });

  it("belong to a group when VM entry must take them over", () => {
    for (const { encoding, kind } of VMCS_FIELDS)
      if (kind === FieldKind.Control && ![0x4016, 0x4018].includes(encoding))
        expect(GROUP_OF_FIELD[encoding >>> 1]).not.toBe(0);
  });
});

describe("VMREAD and VMWRITE", () => {
  const arena = new Arena();
  const memory = new PhysicalMemory(arena);
  memory.addRam(0, 16);
  const vmcs = new Vmcs(arena, memory, 3);

  it("keep every writable field", () => {
    VMCS_FIELDS.filter((field) => field.writable).forEach(({ encoding }, i) => {
      expect(vmcs.write(encoding, i + 1, ~i)).toBe(0);
    });
    VMCS_FIELDS.filter((field) => field.writable).forEach(({ encoding, width }, i) => {
      expect(vmcs.read(encoding)).toBe(i + 1);
      const wide = width === FieldWidth.Bits64 || width === FieldWidth.Natural;
      expect(vmcs.readHi(encoding)).toBe(wide ? ~i : 0);
    });
  });
  it("cut 16-bit fields and reach the high half of 64-bit ones", () => {
    vmcs.write(VmcsField.GuestCsSelector, 0x12345678);
    expect(vmcs.read(VmcsField.GuestCsSelector)).toBe(0x5678);
    vmcs.write(VmcsField.TscOffset | 1, 7);
    expect(vmcs.readHi(VmcsField.TscOffset)).toBe(7);
    expect(vmcs.read(VmcsField.TscOffset | 1)).toBe(7);
    vmcs.write(VmcsField.GuestEfer, 0xd01, 0);
    expect(vmcs.readBig("GuestEfer")).toBe(0xd01n);
  });
  it("fail on exit information and on encodings that do not exist", () => {
    expect(vmcs.write(VmcsField.ExitReason, 1)).toBe(InstructionError.ReadOnlyField);
    expect(vmcs.read(VmcsField.InstructionError)).toBe(13);
    expect(vmcs.write(0x6c18, 1)).toBe(InstructionError.UnsupportedField);
    expect(vmcs.write(VmcsField.GuestRip | 1, 1)).toBe(InstructionError.UnsupportedField);
    expect(vmcs.read(0x7ffe)).toBe(0);
    expect(vmcs.read(VmcsField.InstructionError)).toBe(12);
  });
  it("refuse a frame without RAM", () => {
    expect(() => new Vmcs(arena, memory, 99)).toThrow(expect.objectContaining({ code: "NO_RAM" }));
  });
});

describe("capabilities", () => {
  it("adjust a setting to what the processor accepts", () => {
    const primary = adjustControls(0, CAPABILITIES.primary);
    expect(primary).toBe(0x04006172);
    expect(adjustControls(-1, CAPABILITIES.secondary)).toBe(CAPABILITIES.secondary.may);
  });
});

describe("EPT numbers", () => {
  it("are small, stable and can be put back", () => {
    const tags = new ExtendedPageTableTags();
    expect([tags.tagOf(77), tags.tagOf(12), tags.tagOf(77)]).toEqual([0, 1, 0]);
    const again = new ExtendedPageTableTags();
    again.restore(tags.snapshot());
    expect(again.tagOf(12)).toBe(1);
  });
});
