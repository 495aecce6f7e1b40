import { Arena, PhysicalMemory } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { CleanBit, VMCB_FIELDS, Vmcb, VmcbOffset } from "../../src/svm/index.js";

describe("VMCB layout", () => {
  // APM vol. 2, appendix B: control area from 000h, state save area from 400h.
  it.each([
    ["CrIntercepts", 0x000],
    ["General1Intercepts", 0x00c],
    ["PauseFilterCount", 0x03e],
    ["IopmBase", 0x040],
    ["MsrpmBase", 0x048],
    ["TscOffset", 0x050],
    ["Asid", 0x058],
    ["TlbControl", 0x05c],
    ["VIntr", 0x060],
    ["InterruptShadow", 0x068],
    ["ExitCode", 0x070],
    ["ExitInfo1", 0x078],
    ["ExitInfo2", 0x080],
    ["ExitIntInfo", 0x088],
    ["NestedControl", 0x090],
    ["EventInj", 0x0a8],
    ["NCr3", 0x0b0],
    ["CleanBits", 0x0c0],
    ["NRip", 0x0c8],
    ["Cs", 0x400 + 0x010],
    ["Gdtr", 0x400 + 0x060],
    ["Ldtr", 0x400 + 0x070],
    ["Idtr", 0x400 + 0x080],
    ["Tr", 0x400 + 0x090],
    ["Cpl", 0x400 + 0x0cb],
    ["Efer", 0x400 + 0x0d0],
    ["Cr4", 0x400 + 0x148],
    ["Cr3", 0x400 + 0x150],
    ["Cr0", 0x400 + 0x158],
    ["Dr7", 0x400 + 0x160],
    ["Dr6", 0x400 + 0x168],
    ["Rflags", 0x400 + 0x170],
    ["Rip", 0x400 + 0x178],
    ["Rsp", 0x400 + 0x1d8],
    ["Rax", 0x400 + 0x1f8],
    ["Star", 0x400 + 0x200],
    ["KernelGsBase", 0x400 + 0x220],
    ["SysenterEip", 0x400 + 0x238],
    ["Cr2", 0x400 + 0x240],
    ["GPat", 0x400 + 0x268],
    ["SpecCtrl", 0x400 + 0x2e0],
  ] as const)("%s is at 0x%x", (name, offset) => {
    expect(VmcbOffset[name]).toBe(offset);
  });

  it("has no two fields on the same bytes", () => {
    let end = 0;
    for (const field of VMCB_FIELDS) {
      expect(field.offset, field.name).toBeGreaterThanOrEqual(end);
      end = field.offset + field.bytes;
    }
  });

  it("assigns the clean-bit groups of APM vol. 2, 15.15.3", () => {
    const group = (name: string) => VMCB_FIELDS.find((field) => field.name === name)?.clean;
    expect(group("TscOffset")).toBe(CleanBit.Intercepts);
    expect(group("MsrpmBase")).toBe(CleanBit.Iopm);
    expect(group("Asid")).toBe(CleanBit.Asid);
    expect(group("VIntr")).toBe(CleanBit.Tpr);
    expect(group("NCr3")).toBe(CleanBit.NestedPaging);
    expect(group("Efer")).toBe(CleanBit.ControlRegisters);
    expect(group("Dr6")).toBe(CleanBit.DebugRegisters);
    expect(group("Idtr")).toBe(CleanBit.DescriptorTables);
    expect(group("Cpl")).toBe(CleanBit.Segments);
    expect(group("Cr2")).toBe(CleanBit.Cr2);
    for (const name of ["Rip", "Rsp", "Rax", "Rflags", "EventInj", "TlbControl"]) expect(group(name)).toBe(0);
  });
});

describe("VMCB accessors", () => {
  const arena = new Arena();
  const memory = new PhysicalMemory(arena);
  memory.addRam(0, 16);
  const vmcb = new Vmcb(arena, memory, 5);

  it("write bytes of simulated memory at the manual's offsets", () => {
    vmcb.set64(VmcbOffset.Cr3, 0x12345000, 7);
    expect(memory.readU64(5 * 4096 + 0x550)).toBe(0x7_1234_5000n);
    vmcb.set(VmcbOffset.TlbControl, 3);
    vmcb.set(VmcbOffset.Asid, 0x55);
    expect(memory.readU8(5 * 4096 + 0x5c)).toBe(3);
    expect(memory.readU32(5 * 4096 + 0x58)).toBe(0x55);
    vmcb.set(VmcbOffset.PauseFilterCount, 3000);
    expect(memory.readU32(5 * 4096 + 0x3c)).toBe(3000 << 16);
    vmcb.set(VmcbOffset.Cpl, 3);
    expect(vmcb.byte(VmcbOffset.Cpl)).toBe(3);
    expect(vmcb.read("Cr3")).toBe(0x7_1234_5000n);
    expect(vmcb.read("PauseFilterCount")).toBe(3000n);
    vmcb.setSegment(VmcbOffset.Cs, 8, 0xa9b, 0xffffffff, 0, 0);
    expect(vmcb.half(VmcbOffset.Cs + 2)).toBe(0xa9b);
    expect(() => vmcb.read("Cs")).toThrow(RangeError);
  });

  it("clear the clean bit of the group they write, and of no other", () => {
    vmcb.markAllClean();
    vmcb.set64(VmcbOffset.Cr3, 0, 0);
    expect(vmcb.word(VmcbOffset.CleanBits)).toBe(CleanBit.All & ~CleanBit.ControlRegisters);
    vmcb.setSegment(VmcbOffset.Gdtr, 0, 0, 0xff, 0, 0);
    expect(vmcb.word(VmcbOffset.CleanBits) & CleanBit.DescriptorTables).toBe(0);
    vmcb.markAllClean();
    vmcb.set64(VmcbOffset.Rip, 4, 0);
    vmcb.store(VmcbOffset.Cr0, 1);
    expect(vmcb.word(VmcbOffset.CleanBits)).toBe(CleanBit.All);
  });

  it("refuse a frame without RAM", () => {
    expect(() => new Vmcb(arena, memory, 99)).toThrow(expect.objectContaining({ code: "NO_RAM" }));
  });
});
