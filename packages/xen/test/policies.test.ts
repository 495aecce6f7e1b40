import { epyc9124, resolveProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { DOMAIN_ABIS } from "../src/abi/registry.ts";
import { CpuidPolicy } from "../src/cpuid-policy.ts";
import { hypercallPage } from "../src/hypercall-page.ts";
import { MsrPolicy } from "../src/msr-policy.ts";
import { Vlapic } from "../src/vlapic.ts";
import {
  type DomainConfig,
  resolveDomainConfig,
  resolveXenConfig,
  XenConfigError,
} from "../src/xen-config.ts";
import { HypervisorBench } from "./hypervisor-bench.ts";

const image = new Uint8Array(4);
const MIB = 2 ** 20;

describe("CPUID", () => {
  const query = (abi: "linear" | "physaddr" | "fastabi", leaf: number, subleaf = 0, profile = epyc9124) => {
    const policy = new CpuidPolicy({
      profile: resolveProfile(profile),
      abiFeatures: DOMAIN_ABIS[abi].cpuidFeatures,
      domainId: 7,
    });
    policy.query(leaf | 0, subleaf, 0, 0);
    return [...policy.result].map((word) => word >>> 0);
  };

  it("shows Xen at 0x40000000", () => {
    expect(query("linear", 0x40000000)).toEqual([0x40000005, 0x566e6558, 0x65584d4d, 0x4d4d566e]);
    expect(query("linear", 0x40000001)[0]).toBe((4 << 16) | 23);
    expect(query("linear", 0x40000002)).toEqual([1, 0x40000000, 0, 0]);
    expect(query("linear", 0x40000003)[2]).toBe(3_000_000);
    expect(query("linear", 0x40000003, 1)[2]).toBe(Math.floor(2 ** 32 / 3));
    expect(query("linear", 0x40000005)).toEqual([0, 0, 0, 0]);
    expect(query("linear", 0x40000006)).toEqual([0, 0, 0, 0]);
  });

  it("announces a new interface by bit 7 of the HVM leaf", () => {
    expect(query("linear", 0x40000004)).toEqual([0x5c, 0, 7, 0]);
    expect(query("physaddr", 0x40000004)[0]).toBe(0xdc);
    expect(query("fastabi", 0x40000004)[0]).toBe(0xdc);
  });

  it("hides nested virtualization and shows the hypervisor bit", () => {
    expect(query("linear", 1)[2] >>> 31).toBe(1);
    expect(query("linear", 1, 0, skylakeSp)[2] & 0x20).toBe(0);
    expect(query("linear", 0x80000001)[2] & 4).toBe(0);
    expect(query("linear", 0x8000000a)).toEqual([0, 0, 0, 0]);
    expect(query("linear", 0x12345678)).toEqual([0, 0, 0, 0]);
  });

  it("shows XSAVES where the guest can have it", () => {
    expect(query("linear", 0xd, 1)[0]).toBe(0xf);
    expect(query("linear", 0xd, 1, skylakeSp)[0]).toBe(7);
    expect(query("linear", 0x80000001)[3] & (1 << 25)).toBe(0);
  });
});

describe("the hypercall page", () => {
  it("holds 128 stubs of 32 bytes, number 23 undefined", () => {
    const page = hypercallPage([0x0f, 0x01, 0xd9]);
    expect(page.length).toBe(4096);
    expect([...page.subarray(0, 10)]).toEqual([0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3, 0xcc]);
    expect([...page.subarray(127 * 32, 127 * 32 + 9)]).toEqual([0xb8, 127, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3]);
    expect([...page.subarray(23 * 32, 24 * 32)]).toEqual([0x0f, 0x0b, ...new Array(30).fill(0xcc)]);
  });
});

describe("MSRs", () => {
  const policy = () => {
    const bench = new HypervisorBench();
    const efer: number[] = [];
    const aux: number[] = [];
    const sink = {
      setEfer: (value: number) => efer.push(value),
      setSysenter: () => {},
      setTimestampOffset: () => {},
      setTimestampAux: (value: number) => aux.push(value),
    };
    const { apic } = new Vlapic({
      vcpuId: 0,
      ledger: bench.ledger,
      ghz: 2,
      physicalAddressBits: 46,
      tscDeadline: true,
      timestampOffset: () => 0,
      onTaskPriority: () => {},
    });
    return { bench, efer, aux, msrs: new MsrPolicy(bench.registers, sink, () => 5_000_000_000, apic, "amd") };
  };

  it("answers the time stamp counter, EFER without SVME, and nothing that it does not know", () => {
    const { bench, msrs } = policy();
    bench.setControl(1, 0, 0, 0x1d01);
    expect(msrs.read(0x10)).toBe(true);
    expect(msrs.hi * 2 ** 32 + (msrs.lo >>> 0)).toBe(5_000_000_000);
    expect(msrs.read(0xc0000080 | 0)).toBe(true);
    expect(msrs.lo).toBe(0xd01);
    expect(msrs.read(0x12345)).toBe(false);
    expect(msrs.write(0x12345, 0, 0)).toBe(false);
  });

  it("moves the time stamp and its adjustment together", () => {
    const { msrs } = policy();
    expect(msrs.write(0x10, 1000, 0)).toBe(true);
    expect(msrs.read(0x10) && msrs.lo).toBe(1000);
    expect(msrs.read(0x3b) && msrs.hi * 2 ** 32 + (msrs.lo >>> 0)).toBe(1000 - 5_000_000_000);
    expect(msrs.write(0x3b, 0, 0)).toBe(true);
    expect(msrs.read(0x10) && msrs.hi * 2 ** 32 + (msrs.lo >>> 0)).toBe(5_000_000_000);
    expect(msrs.timestampOffset).toBe(0);
  });

  it("keeps TSC_AUX and CSTAR, and has no performance monitoring", () => {
    const { msrs, aux } = policy();
    const tscAux = 0xc0000103 | 0;
    expect([msrs.write(tscAux, 7, 0), msrs.write(tscAux, 7, 1), msrs.read(tscAux), msrs.lo, aux]).toEqual([
      true,
      false,
      true,
      7,
      [7],
    ]);
    const cstar = 0xc0000083 | 0;
    expect([msrs.write(cstar, 1, 0x8000), msrs.write(cstar, 1, 0xffff8000 | 0)]).toEqual([false, true]);
    expect([msrs.read(cstar), msrs.lo, msrs.hi]).toEqual([true, 1, 0xffff8000 | 0]);
    const eventSelect = 0xc0010200 | 0;
    expect([msrs.write(eventSelect, 0x76, 0), msrs.read(eventSelect), msrs.lo]).toEqual([true, true, 0]);
    expect(msrs.read(0x186)).toBe(false); // Intel's
  });

  it("keeps them over a snapshot", () => {
    const { msrs } = policy();
    const kept: readonly (readonly [number, number, number])[] = [
      [0x10, 1000, 0],
      [0xc0000103 | 0, 7, 0],
      [0xc0000083 | 0, 1, 0xffff8000 | 0],
    ];
    for (const [msr, lo, hi] of kept) expect(msrs.write(msr, lo, hi)).toBe(true);
    const other = policy().msrs;
    other.restore(msrs.snapshot());
    for (const [msr, lo, hi] of kept) expect([other.read(msr), other.lo, other.hi]).toEqual([true, lo, hi]);
    expect(other.read(0x3b) && other.hi * 2 ** 32 + (other.lo >>> 0)).toBe(1000 - 5_000_000_000);
  });

  it("reaches the virtual local APIC", () => {
    const { msrs } = policy();
    expect(msrs.read(0x1b) && msrs.lo >>> 0).toBe(0xfee00900);
    expect(msrs.read(0x802)).toBe(false);
    expect(msrs.write(0x1b, 0xfee00d00 | 0, 0)).toBe(true);
    expect(msrs.read(0x803) && msrs.lo).toBe(0x50014);
    expect(msrs.write(0x1b, 0xfee00900 | 0, 0)).toBe(false);
  });

  it("checks EFER as hvm_set_efer does", () => {
    const { bench, msrs, efer } = policy();
    bench.setControl(1, 0, 0, 0);
    expect(msrs.write(0xc0000080 | 0, 0x100, 0)).toBe(true);
    expect(efer).toEqual([0x100]);
    expect(msrs.write(0xc0000080 | 0, 0x1000, 0)).toBe(false);
    expect(msrs.write(0xc0000080 | 0, 0, 1)).toBe(false);
    bench.setControl((1 << 31) | 1, 0, 0, 0);
    expect(msrs.write(0xc0000080 | 0, 0x100, 0)).toBe(false);
  });
});

describe("configuration", () => {
  const base: DomainConfig = { image, memoryBytes: 64 * MIB, abi: "linear" };

  it("takes mitigations from the profile unless told otherwise", () => {
    expect(resolveXenConfig({}, epyc9124)).toMatchObject({
      ibpbEntry: true,
      rsbOverwrite: true,
      lockHarden: true,
    });
    expect(resolveXenConfig({ ibpbEntry: false, lockHarden: false }, epyc9124)).toMatchObject({
      ibpbEntry: false,
      lockHarden: false,
    });
    expect(() => resolveXenConfig({ l1dFlush: true }, epyc9124)).toThrow(XenConfigError);
    expect(() => resolveXenConfig({ verw: 1 as never }, epyc9124)).toThrow(/xen\.verw = 1/);
  });

  it("decides defaults of a domain", () => {
    expect(resolveDomainConfig(base)).toMatchObject({
      p2mPage: "2m",
      mmioHandlers: 1,
      hardwareDomain: false,
      cmdline: "",
    });
    expect(resolveDomainConfig({ ...base, hardwareDomain: true }).mmioHandlers).toBe(5);
  });

  it.each([
    [{ memoryBytes: 12345 }, "domain.memoryBytes"],
    [{ memoryBytes: 2 ** 41 }, "domain.memoryBytes"],
    [{ p2mPage: "16k" as never }, "domain.p2mPage"],
    [{ abi: "pv" as never }, "domain.abi"],
    [{ mmioHandlers: -1 }, "domain.mmioHandlers"],
    [{ maxEventChannels: 1 }, "domain.maxEventChannels"],
    [{ maxEventChannels: 2 ** 17 }, "domain.maxEventChannels"],
    [{ maxEventChannels: 1023.5 }, "domain.maxEventChannels"],
    [{ image: "x" as never }, "domain.image"],
    [{ physaddrAbi: true, fastabi: true }, "domain.physaddrAbi"],
    [{ abi: "fastabi", physaddrAbi: true }, "domain.physaddrAbi"],
    [{ abi: "physaddr", fastabi: true }, "domain.fastabi"],
    [{ fastabi: true }, "domain.fastabi"],
  ] as const)("refuses %j, naming the key and what is allowed", (change, key) => {
    let error: unknown;
    try {
      resolveDomainConfig({ ...base, ...change } as DomainConfig);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(XenConfigError);
    expect(error).toMatchObject({ code: "XEN_CONFIG", key });
    expect((error as XenConfigError).allowed).not.toBe("");
  });

  it("says why the two proposals exclude each other", () => {
    expect(() => resolveDomainConfig({ ...base, physaddrAbi: true, fastabi: true })).toThrow(/bit 7 of EAX/);
  });
});
